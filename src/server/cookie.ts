const SESSION = 'auth_token';
/** What a browser keeps while its person is at an OpenID Connect provider. */
export const PENDING = 'oidc_pending';

/** The session's token of a `Cookie` header, or another cookie; undefined when there is none. */
export function readCookie(header: string, name = SESSION): string | undefined {
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim() || undefined;
  }
  return undefined;
}

/** The `Set-Cookie` of a session: for this origin alone, out of reach of scripts, over TLS where that is used. */
export function writeCookie(
  value: string,
  { expiresAt, secure, name = SESSION }: { expiresAt: Date; secure: boolean; name?: string | undefined },
): string {
  const attributes = [`${name}=${value}`, 'Path=/', 'HttpOnly', 'SameSite=Lax', `Expires=${expiresAt.toUTCString()}`];
  return [...attributes, ...(secure ? ['Secure'] : [])].join('; ');
}

/** The `Set-Cookie` that ends a session in the browser. */
export function clearCookie(name = SESSION): string {
  return `${name}=; Path=/; HttpOnly; SameSite=Lax; Expires=Thu, 01 Jan 1970 00:00:00 GMT`;
}
