import type { PendingSignIn } from '../domain/access/open-id.ts';
import type { NewSession } from '../domain/access/sessions.ts';
import { type Authenticators, isLocal } from './authenticate.ts';
import { clearCookie, PENDING, readCookie, writeCookie } from './cookie.ts';
import type { HttpExchange } from './http-exchange.ts';

/** What signing in needs of a request, and how it tells the browser of a session that begins or ends. */
export function sessionOf({ request, response, client: { secure } }: HttpExchange, { loopback }: Authenticators) {
  const { cookie = '' } = request.headers;
  const set = (value: string | undefined, expiresAt = new Date(0), name?: string) => {
    const written = value === undefined ? clearCookie(name) : writeCookie(value, { expiresAt, secure, name });
    response.appendHeader('Set-Cookie', written);
  };
  const tell = (session: NewSession | null) => set(session?.token, session?.expiresAt);
  const keep = (pending: PendingSignIn | null) => set(pending?.text, pending?.expiresAt, PENDING);
  const local = loopback && isLocal(request);
  return { session: { token: readCookie(cookie), local, pending: readCookie(cookie, PENDING), keep }, tell };
}
