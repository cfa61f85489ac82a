import type { Transaction } from '../../storage/database.ts';
import type { Caller } from '../access/caller.ts';
import { clustersWithAction } from '../access/permissions.ts';
import type { Verification } from '../credentials/credential-input.ts';
import { DomainError } from '../errors.ts';

export const NAME_TAKEN_CHOICES = ['SKIP', 'UPDATE', 'FAIL'] as const;
type OnNameTaken = (typeof NAME_TAKEN_CHOICES)[number];

export const IMPORT_OUTCOMES = ['CREATED', 'UPDATED', 'SKIPPED', 'REFUSED'] as const;
export type ImportOutcome = (typeof IMPORT_OUTCOMES)[number];

/** The outcome for one context; in a dry run, the outcome that an import would have. */
export interface ImportedContext {
  readonly context: string;
  readonly outcome: ImportOutcome;
  readonly problem: string | null;
}

/** The properties of a context that decide its outcome. */
interface ImportCandidate {
  readonly name: string;
  readonly refusal?: string | undefined;
  readonly identity?: string | null | undefined;
}

/** Decides the outcome of each candidate. `isEmpty` is true if no cluster is registered yet. */
export async function decideOutcomes(
  client: Pick<Transaction, 'cluster'>,
  caller: Caller,
  candidates: readonly ImportCandidate[],
  input: Pick<ImportClusters, 'onlyIfEmpty' | 'onNameTaken'>,
): Promise<{ results: ImportedContext[]; isEmpty: boolean }> {
  const existing = await findExistingByName(client, input);
  const taken = candidates.flatMap(({ name }) => (existing.has(name) ? [name] : []));
  const updatable = input.onNameTaken === 'UPDATE' ? await updatableNames(client, caller, taken) : new Set<string>();
  const results = candidates.map((candidate) => {
    const found = existing.get(candidate.name);
    const known = found && { ...found, isUpdatable: updatable.has(found.name) };
    return decideOutcome(candidate, known, input.onNameTaken);
  });
  return { results, isEmpty: existing.size === 0 };
}

/** Returns the names of the clusters that the caller may update. */
async function updatableNames(
  client: Pick<Transaction, 'cluster'>,
  caller: Caller,
  names: readonly string[],
): Promise<Set<string>> {
  const where = { AND: [{ name: { in: [...names] } }, clustersWithAction(caller, 'clusters.update')] };
  const rows = await client.cluster.findMany({ where, select: { name: true } });
  return new Set(rows.map(({ name }) => name));
}

function decideOutcome(
  { name, refusal, identity }: ImportCandidate,
  existing: (Existing & { readonly isUpdatable: boolean }) | undefined,
  onNameTaken: OnNameTaken,
): ImportedContext {
  const result = { context: name, problem: null };
  if (refusal !== undefined) return { ...result, outcome: 'REFUSED', problem: refusal };
  if (!existing) return { ...result, outcome: 'CREATED' };
  switch (onNameTaken) {
    case 'SKIP':
      return { ...result, outcome: 'SKIPPED', problem: 'a cluster with this name already exists' };
    case 'UPDATE':
      // The same message for a hidden cluster and for one that the caller may only read: it must not reveal which.
      if (!existing.isUpdatable)
        return {
          ...result,
          outcome: 'REFUSED',
          problem: 'a cluster with this name already exists, and you may not update it',
        };
      // Only CONNECT reads the identity of a context's cluster. To replace the cluster, use updateCluster with
      // allowDifferentCluster.
      if (identity && existing.identity && identity !== existing.identity)
        return {
          ...result,
          outcome: 'REFUSED',
          problem: 'the context is for a different cluster than the registered one with this name',
        };
      return { ...result, outcome: 'UPDATED' };
    case 'FAIL':
      throw new DomainError('NAME_TAKEN', 'cluster already exists', { name });
  }
}

/** The properties of a registered cluster that decide the outcome of a context with its name. */
interface Existing {
  readonly name: string;
  readonly identity: string | null;
}

/** Returns the registered clusters by name. Throws REGISTRY_NOT_EMPTY if `onlyIfEmpty` is set and a cluster exists. */
export async function findExistingByName(
  client: Pick<Transaction, 'cluster'>,
  { onlyIfEmpty }: Pick<ImportClusters, 'onlyIfEmpty'>,
): Promise<Map<string, Existing>> {
  const rows = await client.cluster.findMany({ select: { name: true, identity: true } });
  if (onlyIfEmpty && rows.length > 0)
    throw new DomainError('REGISTRY_NOT_EMPTY', 'import not allowed when clusters exist');
  return new Map(rows.map((row) => [row.name, row]));
}

export interface ImportClusters {
  readonly kubeconfig?: string | null | undefined;
  /** Creates the single cluster `in-cluster` instead of reading a kubeconfig. */
  readonly inCluster: boolean;
  /** The contexts to import; absent: all. */
  readonly contexts?: readonly string[] | null | undefined;
  readonly onNameTaken: OnNameTaken;
  readonly dryRun: boolean;
  /** For first-time setup: throws REGISTRY_NOT_EMPTY if a cluster exists. */
  readonly onlyIfEmpty: boolean;
  /** NONE also stores unusable contexts; with SYNTAX their outcome is REFUSED. */
  readonly verify: Verification;
}
