import { type CallerIdentity, limitKeyOf } from '../domain/access/caller.ts';
import { networkOf } from '../ip-address.ts';

/**
 * The key under which a caller's usage is counted. All keys and sessions of a user share one; anonymous callers share
 * one per network.
 */
export function callerKey({ viewer, address = '' }: CallerIdentity): string {
  if (viewer) return limitKeyOf(viewer);
  return `address:${networkOf(address)}`;
}
