import type { IncomingMessage } from 'node:http';
import type { ApiKeys } from '../domain/access/api-keys.ts';
import type { Sessions } from '../domain/access/sessions.ts';
import type { Viewer } from '../domain/access/viewer.ts';
import type { Counters } from '../storage/database.ts';
import { readCookie } from './cookie.ts';

/** Whose request it is: nobody's (a stranger), somebody's, or refused for credentials that are wrong. */
export type Authentication =
  | { readonly viewer: Viewer | null; readonly byKey: boolean; readonly problem?: never }
  | { readonly viewer?: never; readonly byKey: boolean; readonly problem: string };

export interface Authenticators {
  readonly apiKeys: ApiKeys;
  readonly sessions: Sessions;
  /** Whether the server listens on loopback alone. */
  readonly loopback: boolean;
}

// Node has taken the spaces and tabs around it away; whatever else stands there is part of the key.
const API_KEY = /^(?:bearer +)?(kite.*)$/i;

const STRANGER: Authentication = { viewer: null, byKey: false };

/**
 * Reads the credentials of a request. An `Authorization` that holds an API key decides alone; any other is passed over
 * and the cookie counts. A key that was checked before is answered at once, without a promise.
 */
export function authenticate(
  request: IncomingMessage,
  { access, registry }: Counters,
  { apiKeys, sessions, loopback }: Authenticators,
): Authentication | Promise<Authentication> {
  const [, key] = API_KEY.exec(request.headers.authorization ?? '') ?? [];
  if (key === undefined) {
    const token = request.headers.cookie === undefined ? undefined : readCookie(request.headers.cookie);
    return token === undefined ? STRANGER : sessions.authenticate(token, { access, registry }).then(bySession);
  }
  const viewer = apiKeys.authenticate(key, { access, registry, local: loopback && !wasForwarded(request) });
  return viewer instanceof Promise ? viewer.then(byKey) : byKey(viewer);
}

function byKey(viewer: Viewer | undefined): Authentication {
  return viewer ? { viewer, byKey: true } : { byKey: true, problem: 'Invalid API key' };
}

function bySession(viewer: Viewer | undefined): Authentication {
  return viewer ? { viewer, byKey: false } : { byKey: false, problem: 'Invalid or expired token' };
}

const FORWARDED = new Set([
  ...['forwarded', 'via', 'proxy-connection', 'x-real-ip', 'x-client-ip', 'x-cluster-client-ip', 'x-original-for'],
  ...['cf-connecting-ip', 'true-client-ip', 'x-envoy-external-address'],
]);

/** A proxy on this machine passes on what comes from others; nginx says nothing of itself but by speaking HTTP/1.0. */
export function wasForwarded({ headers, httpVersion }: IncomingMessage): boolean {
  if (httpVersion === '1.0') return true;
  for (const name in headers) if (name.startsWith('x-forwarded-') || FORWARDED.has(name)) return true;
  return false;
}
