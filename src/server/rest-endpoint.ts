import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { findRead, type ReadResponse, type RestRead, readWhole } from '../rest/reads.ts';
import { createRestRouter } from '../rest/router.ts';
import { cacheKeyOf } from './cache-key.ts';
import type { HttpExchange } from './http-exchange.ts';
import { JSON_TYPE, jsonResponse } from './json-response.ts';
import type { MemoryHolding } from './memory-budget.ts';
import { send } from './reply.ts';
import { readBodyOf } from './request-body.ts';
import type { EndpointOptions, Identity } from './request-context.ts';
import { type CachedResponse, type ComputedResponse, MAX_BYTES } from './response-cache.ts';
import { sessionCookies } from './session-cookies.ts';

/**
 * Returns the function that responds to REST requests. A read, that is a GET of the table, is sent from the response
 * cache, computed, or streamed. Everything else passes through the Express router and is never cached.
 */
export function restEndpoint({ cache, budget, buildContext, authenticators, maxBody }: EndpointOptions) {
  const router = createRestRouter(maxBody);
  const contextOf = (exchange: HttpExchange, identity: Identity) =>
    buildContext(exchange, identity, { unlimited: true });

  async function sendRead(exchange: HttpExchange, identity: Identity, read: RestRead): Promise<void> {
    const { viewer, counters } = identity;
    const holding = () => exchange.holding(viewer);
    let whole: ReadResponse | undefined;
    const compute = async (): Promise<ComputedResponse> => {
      whole = await readWhole(contextOf(exchange, identity), read.pages, { maxBytes: MAX_BYTES, memory: holding() });
      return whole.rest
        ? { response: STREAMED, isCacheable: false }
        : { response: join(whole.pieces), isCacheable: read.isCacheable };
    };
    exchange.operation = read.operation;
    const key = cacheKeyOf(exchange.request, viewer, '');
    const response = cache.find(counters, key) ?? (await cache.compute(counters, key, compute));
    if (response !== STREAMED) return send(exchange, viewer, response);
    // If a concurrent equal request has computed this, the pages belong to that request: read the list again.
    const pages = whole ?? { pieces: [], rest: read.pages(contextOf(exchange, identity)) };
    await stream(exchange.prepare(), pages, holding());
  }

  function route(exchange: HttpExchange, identity: Identity): Promise<void> {
    const { viewer } = identity;
    // The handler's memory stays counted until it finishes, even if the client disconnects.
    return router(exchange.request, exchange.prepare(), {
      context: contextOf(exchange, identity),
      setOperation: (operation) => {
        exchange.operation = operation;
      },
      readBody: (options) => readBodyOf(exchange, viewer, { ...options, budget }),
      reply: (status, body) => {
        if (body === undefined) exchange.response.writeHead(status).end();
        else send(exchange, viewer, jsonResponse(status, body));
      },
      ...sessionCookies(exchange, authenticators),
    });
  }

  return (exchange: HttpExchange, identity: Identity): Promise<void> => {
    const { method } = exchange.request;
    const read = method === 'GET' || method === 'HEAD' ? findRead(exchange.path) : undefined;
    return read ? sendRead(exchange, identity, read) : route(exchange, identity);
  };
}

const EMPTY = Buffer.alloc(0);

/** Stands for a list above `MAX_BYTES`, which is streamed instead of cached. */
const STREAMED: CachedResponse = { status: 200, headers: [], bytes: EMPTY };

function join(pieces: readonly Buffer[]): CachedResponse {
  const bytes = pieces.length === 1 ? (pieces[0] ?? EMPTY) : Buffer.concat(pieces);
  return { status: 200, headers: ['Content-Type', JSON_TYPE, 'Content-Length', String(bytes.length)], bytes };
}

/**
 * Streams a large list: first the pieces, which `holding` counts already, then each remaining page once the client has
 * received the previous one. An error after the first byte destroys the connection, so that the client does not mistake
 * a truncated list for a complete one.
 */
async function stream(response: ServerResponse, { pieces, rest }: ReadResponse, holding: MemoryHolding): Promise<void> {
  response.writeHead(200, { 'Content-Type': JSON_TYPE });
  if (response.req.method === 'HEAD') {
    response.end();
    return;
  }
  const counted = async function* () {
    for (let piece = pieces.shift(); piece; piece = pieces.shift()) {
      yield piece;
      holding.shrink(piece.length);
    }
    for await (const page of rest ?? []) {
      if (!holding.grow(page.length)) return void response.destroy();
      yield page;
      holding.shrink(page.length);
    }
  };
  try {
    await pipeline(counted, response);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    // The client disconnected.
    if (code !== 'ERR_STREAM_PREMATURE_CLOSE' && code !== 'ERR_STREAM_DESTROYED') throw error;
  }
}
