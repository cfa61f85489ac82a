import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Viewer } from '../domain/access/viewer.ts';
import type { Answer } from './kept.ts';

/** Everything besides the counters that an answer depends on: who asks, and every byte of what is asked. */
export function questionOf({ method, url, headers }: IncomingMessage, viewer: Viewer | null, body: string): string {
  const who = viewer ? `${viewer.id} ${viewer.roles.join(' ')}` : '';
  return [who, method, url, headers.accept ?? '', headers['content-type'] ?? '', body].join('\n');
}

/** Sends an answer; a GET that may be kept carries its hash, and one who has those bytes already gets none. */
export function sendAnswer(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const { status, headers, bytes, etag } = answer;
  if (etag === undefined || request.method !== 'GET') {
    response.writeHead(status, headers).end(bytes);
    return;
  }
  response.setHeader('ETag', etag);
  response.setHeader('Cache-Control', 'private, no-cache');
  if (hasSeen(request.headers['if-none-match'], etag)) response.writeHead(304).end();
  else response.writeHead(status, headers).end(bytes);
}

function hasSeen(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((seen) => ['*', etag].includes(seen.trim().replace(/^W\//, '')));
}
