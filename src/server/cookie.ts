const NAME = 'auth_token';

/** The session's token of a `Cookie` header; undefined when there is none. */
export function readCookie(header: string): string | undefined {
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals > 0 && pair.slice(0, equals).trim() === NAME) return pair.slice(equals + 1).trim() || undefined;
  }
  return undefined;
}

/** The `Set-Cookie` of a session: for this origin alone, out of reach of scripts, over TLS where that is used. */
export function writeCookie(token: string, { expiresAt, secure }: { expiresAt: Date; secure: boolean }): string {
  const attributes = [`${NAME}=${token}`, 'Path=/', 'HttpOnly', 'SameSite=Lax', `Expires=${expiresAt.toUTCString()}`];
  return [...attributes, ...(secure ? ['Secure'] : [])].join('; ');
}

/** The `Set-Cookie` that ends a session in the browser. */
export function clearCookie(): string {
  return `${NAME}=; Path=/; HttpOnly; SameSite=Lax; Expires=Thu, 01 Jan 1970 00:00:00 GMT`;
}
