import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Context } from '../graphql/context.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import type { Answer } from './kept.ts';

type GraphQL = ReturnType<typeof createGraphQL>;

/** Reads a body whole; undefined when it is larger than allowed. */
export function readRaw(request: IncomingMessage, maxBody: number): Promise<Buffer<ArrayBuffer> | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer<ArrayBuffer>[] = [];
    let size = Number(request.headers['content-length'] ?? 0);
    if (size > maxBody) return resolve(undefined);
    size = 0;
    // Events, not `for await`: an iterator over the stream costs more than a kept answer.
    request.on('data', (chunk: Buffer<ArrayBuffer>) => {
      size += chunk.length;
      if (size > maxBody) resolve(undefined);
      else chunks.push(chunk);
    });
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    request.once('error', reject);
  });
}

/** Hands a request to Yoga, which speaks fetch. Whoever leaves ends their event stream, and nobody's shared read. */
export async function askGraphQL(
  graphql: GraphQL,
  asked: { request: IncomingMessage; response: ServerResponse; body: Buffer<ArrayBuffer>; context: Context },
): Promise<Response> {
  const { request, response, body, context } = asked;
  const ended = new AbortController();
  if (request.headers.accept?.includes('text/event-stream')) response.once('close', () => ended.abort());
  return graphql.fetch(
    new Request(`http://kitestring${request.url ?? '/'}`, {
      method: request.method ?? 'GET',
      headers: fetchHeaders(request),
      ...(body.length > 0 ? { body } : {}),
      signal: ended.signal,
    }),
    context,
  );
}

/** Whether an answer goes on for as long as somebody listens: an event stream. */
export function isStream(answer: Response): boolean {
  return answer.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
}

/** Passes an event stream on until either side ends it. */
export async function passStream(answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  if (answer.body) await pipeline(Readable.fromWeb(answer.body as never), response);
  else response.end();
}

/** Takes the whole of an answer that is no stream. */
export async function wholeAnswer(answer: Response): Promise<Answer> {
  // A 405's body is null.
  const bytes = answer.body ? Buffer.from(await answer.arrayBuffer()) : Buffer.alloc(0);
  const headers = [...answer.headers].filter(([name]) => name !== 'content-length').flat();
  return { status: answer.status, headers: [...headers, 'Content-Length', String(bytes.length)], bytes };
}

function fetchHeaders({ headers }: IncomingMessage): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one): [string, string] => [name, one]),
  );
}
