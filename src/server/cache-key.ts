import type { IncomingMessage } from 'node:http';
import type { Viewer } from '../domain/access/caller.ts';

/**
 * The cache key of a request: everything that its response depends on except the counters, that is the caller and the
 * whole request.
 */
export function cacheKeyOf({ method, url, headers }: IncomingMessage, viewer: Viewer | null, body: string): string {
  const caller = viewer ? `${viewer.id} ${viewer.roles.join(' ')}` : '';
  return `${caller}\n${method}\n${url}\n${headers.accept ?? ''}\n${headers['content-type'] ?? ''}\n${body}`;
}
