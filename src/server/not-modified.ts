import type { IncomingMessage } from 'node:http';
import fresh from 'fresh';

/**
 * Whether `If-None-Match` says that the client has this response. Ignores `Cache-Control: no-cache`, which `fetch` adds
 * to every request that has the header.
 */
export function isNotModified({ headers }: IncomingMessage, etag: string): boolean {
  return fresh({ 'if-none-match': headers['if-none-match'] }, { etag });
}
