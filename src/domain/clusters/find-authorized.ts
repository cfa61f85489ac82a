import type { Transaction } from '../../storage/database.ts';
import { type Action, clustersWithAction, forbidden } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { DomainError } from '../errors.ts';
import { type ClusterBy, whereReadable } from './cluster-list.ts';

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
  if ((await client.cluster.count({ where: allowed })) === 0) throw forbidden();
  return cluster;
}
