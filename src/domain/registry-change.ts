import type { KubeconfigPolicy } from '../kubernetes/kubeconfig/target.ts';
import type { Database, Transaction } from '../storage/database.ts';
import { uniqueViolation } from '../storage/database-error.ts';
import type { Caller } from './access/caller.ts';
import { type AuthorizedCaller, clustersWithAction } from './access/permissions.ts';
import { record } from './audit/record.ts';
import { DomainError } from './errors.ts';

/** The dependencies of every change to the registry. */
export interface ChangeContext {
  readonly database: Database;
  readonly policy: KubeconfigPolicy;
  readonly now: () => Date;
  /** Registry counters of the latest changes that this process made: it makes the first probe after each of them. */
  readonly ownChanges: Set<number>;
}

/** Most entries of `ownChanges`: more than this process commits between two reads of the changes. */
const MAX_OWN_CHANGES = 1_000;

/** The time of a change, and its number in commit order: the registry counter. */
export interface ChangeStamp {
  readonly at: Date;
  readonly registryChange: number;
}

/**
 * Runs a caller's change in a transaction under the registry's lock, and authenticates and authorizes the caller again in it.
 * Throws NAME_TAKEN, without storing anything, if the change violates the uniqueness of names.
 */
export async function changeRegistry<T>(
  { database, now, ownChanges }: ChangeContext,
  caller: AuthorizedCaller,
  change: (tx: Transaction, stamp: ChangeStamp) => Promise<T>,
): Promise<T> {
  let number = 0;
  try {
    return await database.write('registry', async (tx, { registry = 0 }) => {
      // The transaction is being retried. The number of the rolled-back attempt may be given to another replica's change.
      ownChanges.delete(number);
      // Register the number before the commit: others may notice the commit before this process does.
      number = registry;
      ownChanges.add(number);
      for (const oldest of ownChanges) if (ownChanges.size > MAX_OWN_CHANGES) ownChanges.delete(oldest);
      await caller.reauthorizeInTransaction(tx);
      return change(tx, { at: now(), registryChange: number });
    });
  } catch (error) {
    ownChanges.delete(number);
    if (uniqueViolation(error) === 'name') throw new DomainError('NAME_TAKEN', 'cluster already exists');
    throw error;
  }
}

/**
 * Clears `isDefault` on the current default cluster and returns that cluster; undefined if there is no default. Throws
 * FORBIDDEN if the caller may not update that cluster.
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

/** Number of registry changes for which deletes are remembered; an older cursor has expired. */
export const REMEMBERED_CHANGES = 100_000;
