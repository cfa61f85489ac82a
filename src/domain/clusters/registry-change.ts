import type { KubeconfigPolicy } from '../../kubernetes/kubeconfig.ts';
import type { Database, Transaction } from '../../storage/database.ts';
import { uniqueViolation } from '../../storage/database-error.ts';
import type { Seal, SealedPlace } from '../../storage/seal.ts';
import { reauthorizeInTransaction } from '../access/change-access.ts';
import { clustersWithAction } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { record } from '../audit.ts';
import { DomainError } from '../errors.ts';

/** What every change of the registry works with. */
export interface ChangeContext {
  readonly database: Database;
  readonly seal: Seal;
  readonly policy: KubeconfigPolicy;
  readonly now: () => Date;
  /** The numbers of the last changes that this process made: it makes the first attempt after each. */
  readonly own: Set<number>;
}

/** More than are made between two looks at what changed. */
const MAX_OWN = 1_000;

/** When a change is made, and its number in the order of commits: the registry's counter. */
export interface ChangeStamp {
  readonly at: Date;
  readonly registryChange: number;
}

/** Runs a caller's change under the registry's lock, if they may still ask for one by then; a name that stands already is NAME_TAKEN and nothing is stored. */
export async function changeRegistry<T>(
  { database, now, own }: ChangeContext,
  caller: Caller,
  change: (tx: Transaction, moment: ChangeStamp) => Promise<T>,
): Promise<T> {
  let number = 0;
  try {
    return await database.write('registry', async (tx, { registry = 0 }) => {
      // That of an attempt that was rolled back goes to another change, perhaps of another replica.
      own.delete(number);
      // Before the commit, which others may hear of sooner than we do.
      number = registry;
      own.add(number);
      for (const oldest of own) if (own.size > MAX_OWN) own.delete(oldest);
      await reauthorizeInTransaction(tx, caller);
      return change(tx, { at: now(), registryChange: number });
    });
  } catch (error) {
    own.delete(number);
    if (uniqueViolation(error) === 'name') throw new DomainError('NAME_TAKEN', 'cluster already exists');
    throw error;
  }
}

/**
 * Takes the default from the cluster that has it, and gives that cluster; undefined where no cluster has it. FORBIDDEN where
 * the caller may not update that cluster.
 */
export async function takeDefault(
  tx: Transaction,
  caller: Caller,
  { at, registryChange }: ChangeStamp,
): Promise<{ id: number } | undefined> {
  const holder = await tx.cluster.findFirst({
    where: { isDefault: true },
    select: { id: true, uid: true, name: true },
  });
  if (!holder) return undefined;
  const updatable = { AND: [{ id: holder.id }, clustersWithAction(caller, 'clusters.update')] };
  if ((await tx.cluster.count({ where: updatable })) === 0)
    throw new DomainError(
      'FORBIDDEN',
      'isDefault: another cluster is the default and you may not update it: omit isDefault, or ask an admin to move the default',
    );
  await tx.cluster.update({
    where: { id: holder.id },
    data: { isDefault: false, revision: { increment: 1 }, updatedAt: at, registryChange },
    select: { id: true },
  });
  await record(tx, caller, {
    action: 'cluster.update',
    at,
    cluster: holder,
    changes: { isDefault: { from: true, to: false } },
  });
  return holder;
}

/** Where a cluster's sealed kubeconfig stands: a value copied to another row does not open. */
export function kubeconfigPlace(uid: string): SealedPlace {
  return { table: 'ClusterCredential', column: 'sealed', uid };
}

/** Seals a kubeconfig and stores it for its cluster, in place of the one before. */
export async function storeKubeconfig(
  tx: Transaction,
  { seal }: ChangeContext,
  { id, uid }: { id: number; uid: string },
  kubeconfig: string,
): Promise<void> {
  const row = { sealed: seal.seal(kubeconfig, kubeconfigPlace(uid)), keyId: seal.keyId };
  await tx.clusterCredential.upsert({
    ...{ where: { clusterId: id }, create: { clusterId: id, ...row }, update: row },
    select: { clusterId: true },
  });
}

/** The kubeconfig of a cluster; undefined when none is stored. */
export async function openKubeconfig(
  client: Pick<Transaction, 'clusterCredential'>,
  { seal }: ChangeContext,
  { id, uid }: { id: number; uid: string },
): Promise<string | undefined> {
  const row = await client.clusterCredential.findUnique({ where: { clusterId: id } });
  return row ? seal.open(row.sealed, kubeconfigPlace(uid)) : undefined;
}
