import type { PendingSignIn } from '../domain/accounts/open-id/open-id.ts';
import type { NewSession } from '../domain/accounts/sessions.ts';
import { type Authenticators, isLocal } from './authenticate.ts';
import { clearCookie, PENDING, readCookie, writeCookie } from './cookie.ts';
import type { HttpExchange } from './http-exchange.ts';

/**
 * Reads the cookies of a request for the sign-in routes, and returns functions that set or clear them in the response.
 */
export function sessionCookies({ request, response, client: { secure } }: HttpExchange, { loopback }: Authenticators) {
  const { cookie = '' } = request.headers;
  const set = (value: string | undefined, expiresAt = new Date(0), name?: string) => {
    const written = value === undefined ? clearCookie(name) : writeCookie(value, { expiresAt, secure, name });
    response.appendHeader('Set-Cookie', written);
  };
  const setSession = (session: NewSession | null) => set(session?.token, session?.expiresAt);
  const setPending = (pending: PendingSignIn | null) => set(pending?.text, pending?.expiresAt, PENDING);
  const local = loopback && isLocal(request);
  return { token: readCookie(cookie), local, pending: readCookie(cookie, PENDING), setPending, setSession };
}
