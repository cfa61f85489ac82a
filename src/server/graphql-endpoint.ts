import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Context } from '../graphql/context.ts';
import type { createGraphQL } from '../graphql/yoga.ts';

type GraphQL = ReturnType<typeof createGraphQL>;

/** Reads a body whole; undefined when it is larger than allowed. */
export async function readRaw(request: IncomingMessage, maxBody: number): Promise<Buffer<ArrayBuffer> | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > maxBody) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBody) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Hands a request to Yoga, which speaks fetch, and its answer back. */
export async function answerGraphQL(
  graphql: GraphQL,
  {
    request,
    response,
    body,
    context,
  }: { request: IncomingMessage; response: ServerResponse; body: Buffer<ArrayBuffer>; context: Context },
): Promise<void> {
  const ended = new AbortController();
  response.once('close', () => ended.abort());
  const answer = await graphql.fetch(
    new Request(`http://kitestring${request.url ?? '/'}`, {
      method: request.method ?? 'GET',
      headers: fetchHeaders(request),
      ...(body.length > 0 ? { body } : {}),
      signal: ended.signal,
    }),
    context,
  );
  const headers = Object.fromEntries(answer.headers);
  if (!answer.body) {
    response.writeHead(answer.status, headers).end();
    return;
  }
  if (headers['content-type']?.startsWith('text/event-stream')) {
    response.writeHead(answer.status, headers);
    await pipeline(Readable.fromWeb(answer.body as never), response);
    return;
  }
  const bytes = Buffer.from(await answer.arrayBuffer());
  response.writeHead(answer.status, { ...headers, 'Content-Length': bytes.length }).end(bytes);
}

function fetchHeaders({ headers }: IncomingMessage): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one): [string, string] => [name, one]),
  );
}
