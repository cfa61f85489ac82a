import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { DomainError } from '../errors.ts';
import { canBeName } from '../storable.ts';
import type { Action } from './action.ts';
import type { Caller } from './caller.ts';
import { clustersWithAction, forbidden, readableClusters } from './permissions.ts';

/**
 * Returns the identified cluster if the caller is allowed the action on it. Throws NOT_FOUND if it does not exist or the
 * caller may not read it, FORBIDDEN if the caller may read it but not perform the action.
 */
export async function findAuthorized(
  client: Pick<Transaction, 'cluster'>,
  caller: Caller,
  action: Action,
  by: ClusterBy,
) {
  const cluster = await client.cluster.findFirst({ where: whereReadable(caller, by), include: { labels: true } });
  if (!cluster) throw new DomainError('NOT_FOUND', 'cluster not found');
  const allowed = { AND: [{ id: cluster.id }, clustersWithAction(caller, action)] };
  if ((await client.cluster.count({ where: allowed })) === 0) throw forbidden(action, 'on this cluster');
  return cluster;
}

/** The columns and relations that a GraphQL document selects: the Pothos plugin's `query`, passed on to Prisma. */
export type ClusterQuery = { select?: Prisma.ClusterSelect };

/** One of the three ways to identify a cluster; `uid` is the part of a global id that identifies it. */
export type ClusterBy = { readonly uid: string } | { readonly databaseId: number } | { readonly name: string };

/** Matches the identified cluster if the caller may read it: lookup and authorization in one step. */
export function whereReadable(caller: Caller, by: ClusterBy): Prisma.ClusterWhereInput {
  return { AND: [readableClusters(caller), whereStored(by)] };
}

export function whereStored(by: ClusterBy): Prisma.ClusterWhereInput {
  if ('databaseId' in by) return { id: by.databaseId };
  // A uid or name that cannot be stored matches no row: do not send it to the database.
  return Object.values(by).every(canBeName) ? by : { id: { in: [] } };
}
