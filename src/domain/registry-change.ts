import type { KubeconfigPolicy } from '../kubernetes/kubeconfig/target.ts';
import type { Database, Transaction } from '../storage/database.ts';
import { uniqueViolation } from '../storage/database-error.ts';
import type { Action } from './access/action.ts';
import type { Caller } from './access/caller.ts';
import { type ClusterBy, type ClusterQuery, findAuthorized } from './access/clusters.ts';
import { type AuthorizedCaller, clustersWithAction } from './access/permissions.ts';
import type { AuditLog } from './audit/audit-log.ts';
import { record } from './audit/record.ts';
import { DomainError } from './errors.ts';

/** The dependencies of every change to the registry. */
export interface ChangeContext {
  readonly database: Database;
  readonly policy: KubeconfigPolicy;
  readonly now: () => Date;
  readonly audit: Pick<AuditLog, 'recordIfRefused'>;
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
 * Runs a change that concerns every cluster in a transaction under the registry's lock. Throws UNAUTHENTICATED or FORBIDDEN
 * if the caller has lost their permissions since, and NAME_TAKEN, without storing anything, if the change violates the
 * uniqueness of names.
 */
export function changeRegistry<T>(
  context: ChangeContext,
  caller: AuthorizedCaller<'ALL'>,
  change: (tx: Transaction, stamp: ChangeStamp) => Promise<T>,
): Promise<T> {
  return writeChange(context, caller, change);
}

/** A cluster, and the revision that the caller has read. Absent: any revision; another current one is REVISION_CONFLICT. */
export interface ChangeCluster {
  readonly by: ClusterBy;
  readonly expectedRevision?: number | null | undefined;
}

/** The current row of a cluster that the caller may change. */
type ChangeableCluster = Awaited<ReturnType<typeof findAuthorized>>;

/**
 * Like `changeRegistry`, for a change to one cluster on which the caller must hold the action. Throws NOT_FOUND, FORBIDDEN,
 * and REVISION_CONFLICT with the fields of `query` if the caller has read a different revision.
 */
export function changeCluster<T>(
  context: ChangeContext,
  caller: AuthorizedCaller<'SOME'>,
  { action, by, expectedRevision, query }: ChangeCluster & { readonly action: Action; readonly query: ClusterQuery },
  change: (tx: Transaction, current: ChangeableCluster, stamp: ChangeStamp) => Promise<T>,
): Promise<T> {
  return writeChange(context, caller, async (tx, stamp) => {
    const current = await findAuthorized(tx, caller, action, by);
    if (expectedRevision != null && expectedRevision !== current.revision) {
      const message = `the cluster is at revision ${current.revision}, not ${expectedRevision}: read it again and retry`;
      const selected = await tx.cluster.findUnique({ ...query, where: { id: current.id } });
      throw new DomainError('REVISION_CONFLICT', message, { current: selected });
    }
    return change(tx, current, stamp);
  });
}

async function writeChange<T>(
  { database, now, ownChanges }: ChangeContext,
  caller: Caller,
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
      'isDefault: requires CLUSTERS_UPDATE on the default cluster: omit isDefault, or ask an admin to move the default',
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
