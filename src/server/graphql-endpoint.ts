import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Context } from '../graphql/context.ts';
import { describeJsonExcess } from '../graphql/json-limits.ts';
import { acceptsEventStream } from '../graphql/limits.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import { shortAccept } from './accept.ts';
import type { MemoryHolding } from './memory-budget.ts';
import type { CachedResponse } from './response-cache.ts';

type GraphQL = ReturnType<typeof createGraphQL>;

/** Whether the one who asks would take an event stream. */
export function wantsStream({ headers }: IncomingMessage): boolean {
  return acceptsEventStream(headers.accept);
}

/** Hands a request to Yoga, which speaks fetch. Only an event stream ends with its reader: a read may be shared. */
export async function executeGraphQL(
  graphql: GraphQL,
  { request, body, context }: { request: IncomingMessage; body: Buffer<ArrayBuffer>; context: Context },
): Promise<Response> {
  // Yoga would put U+FFFD for each byte that is none, and store what nobody wrote.
  if (!isUtf8(body)) return badRequest('the body is not valid UTF-8');
  const excess = describeJsonExcess(body, 'the body') ?? describeUrlProblem(request.url ?? '');
  if (excess !== undefined) return badRequest(excess);
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

/** Says what is wrong with the two parameters that Yoga parses as JSON; a parse error there would count as ours. */
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

/** Whether an answer goes on for as long as somebody listens: an event stream. */
export function isStream(answer: Response): boolean {
  return answer.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
}

/** Passes an event stream on until either side ends it. Events that the client has not read yet count as memory that it holds. */
export async function pipeStream(answer: Response, response: ServerResponse, holding: MemoryHolding): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  response.flushHeaders();
  const counted = async function* (events: AsyncIterable<Uint8Array>) {
    for await (const event of events) {
      if (!holding.grow(event.length)) return void response.destroy();
      yield event;
      holding.shrink(event.length);
    }
  };
  try {
    await pipeline((answer.body ?? []) as AsyncIterable<Uint8Array>, counted, response);
  } catch (error) {
    // The reader left; that ends the stream and is no fault.
    if (!response.destroyed) throw error;
  }
}

/** Takes the whole of an answer that is no stream. */
export async function wholeResponse(answer: Response): Promise<CachedResponse> {
  // A 405's body is null.
  const bytes = answer.body ? Buffer.from(await answer.arrayBuffer()) : Buffer.alloc(0);
  const headers = [...answer.headers].filter(([name]) => name !== 'content-length').flat();
  return { status: answer.status, headers: [...headers, 'Content-Length', String(bytes.length)], bytes };
}

const FORM = /^application\/x-www-form-urlencoded\s*(?:[;,]|$)/i;

function fetchHeaders({ headers }: IncomingMessage, { caller }: Context): [string, string][] {
  const fields = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined
      ? []
      : [value].flat().map((one): [string, string] => [name, name === 'accept' ? shortAccept(one) : one]),
  );
  // What curl's -d says of a body, or nothing: with a key it is JSON, as on the REST routes.
  const { 'content-type': type } = headers;
  if (caller.viewer?.kind !== 'API_KEY' || (type !== undefined && !FORM.test(type))) return fields;
  return [...fields.filter(([name]) => name !== 'content-type'), ['content-type', 'application/json']];
}
