import type { IncomingMessage } from 'node:http';
import type { ApiKeys } from '../domain/access/api-keys.ts';
import type { Viewer } from '../domain/access/viewer.ts';

/** Whose request it is: nobody's (a stranger), somebody's, or refused for credentials that are wrong. */
export type Authentication =
  | { readonly viewer: Viewer | null; readonly byKey: boolean; readonly problem?: never }
  | { readonly viewer?: never; readonly byKey?: never; readonly problem: string };

const API_KEY = /^\s*(?:bearer +)?(kite.*?)\s*$/i;

const STRANGER: Authentication = { viewer: null, byKey: false };

/**
 * Reads the credentials of a request. An `Authorization` that holds an API key decides alone; any other is passed over.
 * A key that was checked before is answered at once, without a promise.
 */
export function authenticate(
  request: IncomingMessage,
  { apiKeys, access, loopback }: { apiKeys: ApiKeys; access: number; loopback: boolean },
): Authentication | Promise<Authentication> {
  const [, key] = API_KEY.exec(request.headers.authorization ?? '') ?? [];
  if (key === undefined) return STRANGER;
  const viewer = apiKeys.authenticate(key, { access, local: loopback && !wasForwarded(request) });
  return viewer instanceof Promise ? viewer.then(byKey) : byKey(viewer);
}

function byKey(viewer: Viewer | undefined): Authentication {
  return viewer ? { viewer, byKey: true } : { problem: 'Invalid API key' };
}

const FORWARDED = new Set(['forwarded', 'via', 'x-real-ip']);

/** A proxy on this machine passes on what comes from others. */
function wasForwarded({ headers }: IncomingMessage): boolean {
  for (const name in headers) if (name.startsWith('x-forwarded-') || FORWARDED.has(name)) return true;
  return false;
}
