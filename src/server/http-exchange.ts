import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Caller } from '../domain/access/viewer.ts';
import type { Logger } from '../log.ts';
import { endInBatch } from './end-in-batch.ts';
import type { MemoryBudget, MemoryHolding } from './memory-budget.ts';
import type { Metrics } from './metrics.ts';
import { corsHeaders } from './origin.ts';
import type { Client } from './proxies.ts';
import { logRequest } from './request-log.ts';
import type { CachedResponse } from './response-cache.ts';
import { OVER_TLS, SECURITY_HEADERS } from './security-headers.ts';

export interface HttpExchangeOptions {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly allowedOrigins: readonly string[];
  readonly clientOf: (request: IncomingMessage) => Client;
  readonly memory: MemoryBudget;
}

/** One request and its response: its id, the headers that every answer has, and its line in the log. */
export class HttpExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId = randomUUID();
  readonly path: string;
  /** The address that the request came from, and whether it came over TLS, as the proxies that are trusted tell it. */
  readonly client: Client;
  /** What the metrics count it as: a REST route or a GraphQL root field. */
  operation = 'other';
  readonly #memory: MemoryBudget;
  #holding: MemoryHolding | undefined;
  /** What keeps the holding open: the handler that computes the answer, and the response until it is sent or cut off. */
  #users = 2;
  /** Names and values in turn, as `writeHead` takes them without a look at each. */
  readonly #headers: string[];

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    { log, metrics, allowedOrigins, clientOf, memory }: HttpExchangeOptions,
  ) {
    this.request = request;
    this.response = response;
    this.path = pathOf(request.url ?? '/');
    this.client = clientOf(request);
    this.#memory = memory;
    this.#headers = ['x-request-id', this.requestId, ...SECURITY_HEADERS];
    if (this.client.secure) this.#headers.push(...OVER_TLS);
    if (allowedOrigins.length === 0) this.#headers.push('Vary', 'Authorization, Cookie, Accept');
    else this.#headers.push('Vary', 'Authorization, Cookie, Accept, Origin', ...corsHeaders(request, allowedOrigins));
    this.#tellWhenClosed(log, metrics);
  }

  /** Sets the headers of every answer on the response, for whoever writes it by other means than `send`. */
  prepare(): ServerResponse {
    for (let at = 0; at < this.#headers.length; at += 2)
      this.response.setHeader(this.#headers[at] as string, this.#headers[at + 1] as string);
    return this.response;
  }

  /** Sends an answer; a GET that may be kept carries its hash, and one who has those bytes already gets none. */
  send({ status, headers, bytes, etag, operation }: CachedResponse): void {
    const { request, response } = this;
    if (operation !== undefined) this.operation = operation;
    const common = this.#headers;
    if (etag !== undefined && request.method === 'GET') {
      common.push('ETag', etag, 'Cache-Control', 'private, no-cache');
      if (hasSeen(request.headers['if-none-match'], etag)) {
        response.writeHead(304, common);
        endInBatch(response);
        return;
      }
    }
    response.writeHead(status, common.concat(headers));
    endInBatch(response, bytes);
  }

  /** The memory that this request holds, on the account of its caller; released, so that it takes no more, once the request is over. */
  holding(viewer: Caller['viewer']): MemoryHolding {
    this.#holding ??= this.#memory.open({ viewer, address: this.client.address });
    if (this.#users === 0) this.#holding.release();
    return this.#holding;
  }

  /** Called once when the answer is computed and once when the response is closed: then the request holds no memory. */
  leave(): void {
    if (--this.#users === 0) this.#holding?.release();
  }

  /** Aborted when the one who asks leaves. */
  closed(): AbortSignal {
    const closed = new AbortController();
    this.response.once('close', () => closed.abort());
    return closed.signal;
  }

  #tellWhenClosed(log: Logger, metrics: Metrics): void {
    const { request, response, requestId, path } = this;
    const began = performance.now();
    response.on('close', () => {
      const ms = Math.round((performance.now() - began) * 100) / 100;
      metrics.request(this.operation, response.statusCode, ms);
      const [status, aborted] = [response.statusCode, !response.writableFinished];
      logRequest(log, { requestId, method: request.method, path, status, ms, aborted });
      this.leave();
    });
  }
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

function hasSeen(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((seen) => ['*', etag].includes(seen.trim().replace(/^W\//, '')));
}
