import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Context } from '../graphql/context.ts';
import { takesStream } from '../graphql/limits.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import type { Answer } from './kept.ts';

type GraphQL = ReturnType<typeof createGraphQL>;

/** Reads a body whole; undefined when it is larger than allowed. */
export function readRaw(request: IncomingMessage, maxBody: number): Promise<Buffer<ArrayBuffer> | undefined> {
  if (request.readableEnded) return Promise.resolve(Buffer.alloc(0));
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

/** Whether the one who asks would take an event stream. */
export function wantsStream({ headers }: IncomingMessage): boolean {
  return takesStream(headers.accept);
}

/** Hands a request to Yoga, which speaks fetch. Only an event stream ends with its reader: a read may be shared. */
export async function askGraphQL(
  graphql: GraphQL,
  { request, body, context }: { request: IncomingMessage; body: Buffer<ArrayBuffer>; context: Context },
): Promise<Response> {
  // Yoga would put U+FFFD for each byte that is none, and store what nobody wrote.
  if (!isUtf8(body)) return badRequest('the body is not valid UTF-8');
  return graphql.fetch(
    new Request(`http://kitestring${request.url ?? '/'}`, {
      method: request.method ?? 'GET',
      headers: fetchHeaders(request, context),
      ...(body.length > 0 && request.method === 'POST' ? { body } : {}),
      ...(wantsStream(request) ? { signal: context.signal } : {}),
    }),
    context,
  );
}

function badRequest(message: string): Response {
  const headers = { 'Content-Type': 'application/json; charset=utf-8' };
  return Response.json({ errors: [{ message, extensions: { code: 'BAD_REQUEST' } }] }, { status: 400, headers });
}

/** Whether an answer goes on for as long as somebody listens: an event stream. */
export function isStream(answer: Response): boolean {
  return answer.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
}

/** Passes an event stream on until either side ends it. */
export async function passStream(answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  response.flushHeaders();
  try {
    await pipeline((answer.body ?? []) as AsyncIterable<Uint8Array>, response);
  } catch (error) {
    // The reader left; that ends the stream and is no fault.
    if (!response.destroyed) throw error;
  }
}

/** Takes the whole of an answer that is no stream. */
export async function wholeAnswer(answer: Response): Promise<Answer> {
  // A 405's body is null.
  const bytes = answer.body ? Buffer.from(await answer.arrayBuffer()) : Buffer.alloc(0);
  const headers = [...answer.headers].filter(([name]) => name !== 'content-length').flat();
  return { status: answer.status, headers: [...headers, 'Content-Length', String(bytes.length)], bytes };
}

const FORM = 'application/x-www-form-urlencoded';

function fetchHeaders({ headers }: IncomingMessage, { caller }: Context): [string, string][] {
  const fields = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one): [string, string] => [name, one]),
  );
  // What curl's -d says of a body, or nothing: with a key it is JSON, as on the REST routes.
  const { 'content-type': type = FORM } = headers;
  if (caller.viewer?.kind !== 'API_KEY' || type !== FORM) return fields;
  return [...fields.filter(([name]) => name !== 'content-type'), ['content-type', 'application/json']];
}
