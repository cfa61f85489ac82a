import { networkOf } from '../domain/access/network.ts';
import { type Caller, limitKeyOf } from '../domain/access/viewer.ts';

/** Names the account of a caller: a user has one for all of their keys and sessions, an anonymous caller one per network. */
export function callerKey({ viewer, address = '' }: Pick<Caller, 'viewer' | 'address'>): string {
  if (viewer) return limitKeyOf(viewer);
  return `address:${networkOf(address)}`;
}
