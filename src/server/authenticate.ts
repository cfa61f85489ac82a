import type { IncomingMessage } from 'node:http';
import type { ApiKeys } from '../domain/access/api-keys.ts';
import type { Viewer } from '../domain/access/viewer.ts';

/** Whose request it is: nobody's (a stranger), somebody's, or refused for credentials that are wrong. */
export type Authentication =
  | { readonly viewer: Viewer | null; readonly byKey: boolean; readonly problem?: never }
  | { readonly viewer?: never; readonly byKey?: never; readonly problem: string };

const API_KEY = /^(?:bearer +)?(kite.*)$/i;

/** Reads the credentials of a request. An `Authorization` that holds an API key decides alone; any other is passed over. */
export async function authenticate(
  request: IncomingMessage,
  { apiKeys, access, loopback }: { apiKeys: ApiKeys; access: number; loopback: boolean },
): Promise<Authentication> {
  const [, key] = API_KEY.exec(request.headers.authorization?.trim() ?? '') ?? [];
  if (key === undefined) return { viewer: null, byKey: false };
  const viewer = await apiKeys.authenticate(key, { access, local: loopback && !wasForwarded(request) });
  return viewer ? { viewer, byKey: true } : { problem: 'Invalid API key' };
}

/** A proxy on this machine passes on what comes from others. */
function wasForwarded({ headers }: IncomingMessage): boolean {
  return Object.keys(headers).some(
    (name) => name === 'forwarded' || name === 'via' || name.startsWith('x-forwarded-') || name === 'x-real-ip',
  );
}
