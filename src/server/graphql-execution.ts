import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { yieldWhenBusy } from '../event-loop.ts';
import type { Context } from '../graphql/context.ts';
import { describeJsonExcess } from '../graphql/json-limits.ts';
import { acceptsEventStream } from '../graphql/limits.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import { shortAccept } from './accept.ts';
import type { MemoryHolding } from './memory-budget.ts';
import type { CachedResponse } from './response-cache.ts';

type GraphQL = ReturnType<typeof createGraphQL>;

/** Whether the client accepts an event stream. */
export function wantsStream({ headers }: IncomingMessage): boolean {
  return acceptsEventStream(headers.accept);
}

/**
 * Executes a request with Yoga. Only an event stream is aborted when its client disconnects: other requests may share
 * the result of a query.
 */
export async function executeGraphQL(
  graphql: GraphQL,
  { request, body, context }: { request: IncomingMessage; body: Buffer<ArrayBuffer>; context: Context },
): Promise<Response> {
  // Many requests may arrive in one iteration of the event loop.
  await yieldWhenBusy();
  // Yoga would replace each invalid byte with U+FFFD, and so store other text than the client sent.
  if (!isUtf8(body)) return badRequest('the body is not valid UTF-8');
  const excess = describeJsonExcess(body, 'the body') ?? describeUrlProblem(request.url ?? '');
  if (excess !== undefined) return badRequest(excess);
  return graphql.fetch(
    new Request(`http://kitestring/graphql${searchOf(request.url ?? '')}`, {
      method: request.method ?? 'GET',
      headers: fetchHeaders(request, context),
      ...(body.length > 0 && request.method === 'POST' ? { body } : {}),
      ...(wantsStream(request) ? { signal: context.signal } : {}),
    }),
    context,
  );
}

/** The query string of a URL with its question mark; empty if it has none. */
function searchOf(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at);
}

/**
 * Describes a problem with the two URL parameters that Yoga parses as JSON. Yoga would report invalid JSON as a server
 * error.
 */
function describeUrlProblem(url: string): string | undefined {
  const query = url.indexOf('?');
  if (query < 0) return undefined;
  const parameters = new URLSearchParams(url.slice(query + 1));
  for (const name of ['variables', 'extensions']) {
    const text = parameters.get(name) ?? '';
    const excess = describeJsonExcess(Buffer.from(text), `\`${name}\``);
    if (excess !== undefined) return excess;
    if (text !== '' && !isJson(text)) return `\`${name}\` in the URL is not valid JSON`;
  }
  return undefined;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function badRequest(message: string): Response {
  const headers = { 'Content-Type': 'application/json; charset=utf-8' };
  return Response.json({ errors: [{ message, extensions: { code: 'BAD_REQUEST' } }] }, { status: 400, headers });
}

/** Whether a response is an event stream. */
export function isStream(result: Response): boolean {
  return result.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
}

/**
 * Pipes an event stream to the client until either side ends it; rejects if the client disconnects. Events that the
 * client has not read yet count against its memory limit.
 */
export async function pipeStream(result: Response, response: ServerResponse, holding: MemoryHolding): Promise<void> {
  // nginx buffers a response unless it is told not to.
  response.writeHead(result.status, { ...Object.fromEntries(result.headers), 'X-Accel-Buffering': 'no' });
  response.flushHeaders();
  const counted = async function* (events: AsyncIterable<Uint8Array>) {
    for await (const event of events) {
      if (!holding.grow(event.length)) return void response.destroy();
      yield event;
      holding.shrink(event.length);
    }
  };
  await pipeline((result.body ?? []) as AsyncIterable<Uint8Array>, counted, response);
}

/** Reads a response that is not a stream into memory. */
export async function wholeResponse(result: Response): Promise<CachedResponse> {
  // The body of a 405 response is null.
  const bytes = result.body ? Buffer.from(await result.arrayBuffer()) : Buffer.alloc(0);
  const headers = [...result.headers].filter(([name]) => name !== 'content-length').flat();
  return { status: result.status, headers: [...headers, 'Content-Length', String(bytes.length)], bytes };
}

const FORM = /^application\/x-www-form-urlencoded\s*(?:[;,]|$)/i;

function fetchHeaders({ headers }: IncomingMessage, { caller }: Context): [string, string][] {
  const fields = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined
      ? []
      : [value].flat().map((text): [string, string] => [name, name === 'accept' ? shortAccept(text) : text]),
  );
  // `curl -d` sends a form's content type. With an API key such a body, or one without a type, is read as JSON, as in
  // REST.
  const { 'content-type': type } = headers;
  if (caller.viewer?.kind !== 'API_KEY' || (type !== undefined && !FORM.test(type))) return fields;
  return [...fields.filter(([name]) => name !== 'content-type'), ['content-type', 'application/json']];
}
