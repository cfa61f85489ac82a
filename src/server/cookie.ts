const SESSION = 'auth_token';
/** The cookie that stores a pending OpenID Connect sign-in while the user is at the provider. */
export const PENDING = 'oidc_pending';

/** Reads a cookie, by default the session token, from a `Cookie` header; undefined if it is absent or empty. */
export function readCookie(header: string, name = SESSION): string | undefined {
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim() || undefined;
  }
  return undefined;
}

/**
 * A `Set-Cookie` value for this host that scripts cannot read and other sites cannot use. `secure`: only send it over
 * TLS.
 */
export function writeCookie(
  value: string,
  { expiresAt, secure, name = SESSION }: { expiresAt: Date; secure: boolean; name?: string | undefined },
): string {
  const attributes = [`${name}=${value}`, 'Path=/', 'HttpOnly', 'SameSite=Lax', `Expires=${expiresAt.toUTCString()}`];
  return [...attributes, ...(secure ? ['Secure'] : [])].join('; ');
}

/** A `Set-Cookie` value that deletes the cookie. */
export function clearCookie(name = SESSION): string {
  return `${name}=; Path=/; HttpOnly; SameSite=Lax; Expires=Thu, 01 Jan 1970 00:00:00 GMT`;
}
