import { networkOf } from '../domain/access/network.ts';
import type { Caller } from '../domain/access/viewer.ts';

/** Names the account of a caller: a user has one for all of their keys and sessions, an anonymous caller one per network. */
export function callerKey({ viewer, address = '' }: Pick<Caller, 'viewer' | 'address'>): string {
  if (viewer) return viewer.userId === undefined ? viewer.id : `user:${viewer.userId}`;
  return `address:${networkOf(address)}`;
}
