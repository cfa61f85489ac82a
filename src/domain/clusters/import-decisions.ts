import type { Transaction } from '../../storage/database.ts';
import { clustersWithAction } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { DomainError } from '../errors.ts';
import type { ImportClusters } from './cluster-import.ts';

export const NAME_TAKEN_CHOICES = ['SKIP', 'UPDATE', 'FAIL'] as const;
export type OnNameTaken = (typeof NAME_TAKEN_CHOICES)[number];

export const IMPORT_OUTCOMES = ['CREATED', 'UPDATED', 'SKIPPED', 'REFUSED'] as const;
export type ImportOutcome = (typeof IMPORT_OUTCOMES)[number];

/** What became of one context; in a dry run, what would. */
export interface ImportedContext {
  readonly context: string;
  readonly outcome: ImportOutcome;
  readonly problem: string | null;
}

/** What an import has to know of a context to decide on it. */
interface Decidable {
  readonly name: string;
  readonly refusal?: string | undefined;
  readonly identity?: string | null | undefined;
}

/** What becomes of each candidate, and whether no cluster is registered yet. */
export async function decideAll(
  client: Pick<Transaction, 'cluster'>,
  caller: Caller,
  candidates: readonly Decidable[],
  input: Pick<ImportClusters, 'onlyIfEmpty' | 'onNameTaken'>,
): Promise<{ results: ImportedContext[]; isEmpty: boolean }> {
  const existing = await existingByName(client, input);
  const taken = candidates.flatMap(({ name }) => (existing.has(name) ? [name] : []));
  const updatable = input.onNameTaken === 'UPDATE' ? await updatableNames(client, caller, taken) : new Set<string>();
  const results = candidates.map((candidate) => {
    const found = existing.get(candidate.name);
    const known = found && { ...found, isUpdatable: updatable.has(found.name) };
    return decide(candidate, known, input.onNameTaken);
  });
  return { results, isEmpty: existing.size === 0 };
}

/** The names among these of clusters that the caller may update. */
async function updatableNames(
  client: Pick<Transaction, 'cluster'>,
  caller: Caller,
  names: readonly string[],
): Promise<Set<string>> {
  const where = { AND: [{ name: { in: [...names] } }, clustersWithAction(caller, 'clusters.update')] };
  const rows = await client.cluster.findMany({ where, select: { name: true } });
  return new Set(rows.map(({ name }) => name));
}

function decide(
  { name, refusal, identity }: Decidable,
  existing: (Existing & { readonly isUpdatable: boolean }) | undefined,
  onNameTaken: OnNameTaken,
): ImportedContext {
  const result = { context: name, problem: null };
  if (refusal !== undefined) return { ...result, outcome: 'REFUSED', problem: refusal };
  if (!existing) return { ...result, outcome: 'CREATED' };
  switch (onNameTaken) {
    case 'SKIP':
      return { ...result, outcome: 'SKIPPED', problem: 'a cluster of this name exists already' };
    case 'UPDATE':
      // Whether it is hidden from the caller, or only not theirs to update, is told alike.
      if (!existing.isUpdatable)
        return { ...result, outcome: 'REFUSED', problem: 'a cluster that you may not update has this name already' };
      // Only CONNECT knows whom a context leads to; updateCluster takes another cluster when it is told to.
      if (identity && existing.identity && identity !== existing.identity)
        return { ...result, outcome: 'REFUSED', problem: 'it leads to another cluster than the one of this name' };
      return { ...result, outcome: 'UPDATED' };
    case 'FAIL':
      throw new DomainError('NAME_TAKEN', 'cluster already exists', { name });
  }
}

/** What an import has to know of a cluster that is there. */
interface Existing {
  readonly name: string;
  readonly identity: string | null;
}

/** The clusters that are registered, by name; REGISTRY_NOT_EMPTY where the import is for an empty registry and one exists. */
export async function existingByName(
  client: Pick<Transaction, 'cluster'>,
  { onlyIfEmpty }: Pick<ImportClusters, 'onlyIfEmpty'>,
): Promise<Map<string, Existing>> {
  const rows = await client.cluster.findMany({ select: { name: true, identity: true } });
  if (onlyIfEmpty && rows.length > 0)
    throw new DomainError('REGISTRY_NOT_EMPTY', 'import not allowed when clusters exist');
  return new Map(rows.map((row) => [row.name, row]));
}
