import type { Transaction } from '../../storage/database.ts';
import { type Action, clustersWithAction, forbidden } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { DomainError } from '../errors.ts';
import { type ClusterBy, whereReadable } from './cluster-list.ts';

/**
 * The cluster that is meant, for who may do this to it: looked up and authorized in one step. NOT_FOUND where it is not
 * there or hidden, FORBIDDEN where it may be read alone.
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
