import type { IncomingMessage } from 'node:http';
import type { Viewer } from '../domain/access/viewer.ts';

/** Everything besides the counters that an answer depends on: who asks, and every byte of what is asked. */
export function cacheKeyOf({ method, url, headers }: IncomingMessage, viewer: Viewer | null, body: string): string {
  const who = viewer ? `${viewer.id} ${viewer.roles.join(' ')}` : '';
  return `${who}\n${method}\n${url}\n${headers.accept ?? ''}\n${headers['content-type'] ?? ''}\n${body}`;
}
