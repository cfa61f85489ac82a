import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Caller } from '../domain/access/caller.ts';
import type { Logger } from '../log.ts';
import { endInBatch } from './end-in-batch.ts';
import type { MemoryBudget, MemoryHolding } from './memory-budget.ts';
import type { Metrics } from './metrics.ts';
import { isNotModified } from './not-modified.ts';
import { corsHeaders } from './origin.ts';
import type { Client } from './proxies.ts';
import { logRequest } from './request-log.ts';
import type { CachedResponse } from './response-cache.ts';
import { SECURITY_HEADERS, TLS_HEADERS } from './security-headers.ts';

export interface HttpExchangeOptions {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly allowedOrigins: readonly string[];
  readonly clientOf: (request: IncomingMessage) => Client;
  readonly memory: MemoryBudget;
}

/** One request and its response: sets the common headers, writes the log line and holds the memory of the request. */
export class HttpExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId = randomUUID();
  readonly path: string;
  /** The client address, and whether the request came over TLS, as reported by trusted proxies. */
  readonly client: Client;
  /** The `operation` label in the metrics: a REST route or a GraphQL root field. */
  operation = 'other';
  readonly #memory: MemoryBudget;
  #holding: MemoryHolding | undefined;
  /** References to the holding: one by the handler until it has finished, one by the response until it is closed. */
  #references = 2;
  /** Alternating names and values: the format that `writeHead` accepts without checking each header. */
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
    if (this.client.secure) this.#headers.push(...TLS_HEADERS);
    if (allowedOrigins.length === 0) this.#headers.push('Vary', 'Authorization, Cookie, Accept');
    else this.#headers.push('Vary', 'Authorization, Cookie, Accept, Origin', ...corsHeaders(request, allowedOrigins));
    this.#reportWhenClosed(log, metrics);
  }

  /** Sets the common headers. Callers that write the response without `send` must call this first. */
  prepare(): ServerResponse {
    for (let index = 0; index < this.#headers.length; index += 2)
      this.response.setHeader(this.#headers[index] as string, this.#headers[index + 1] as string);
    return this.response;
  }

  /**
   * Sends a response. A cacheable response to a GET has an ETag, and becomes a 304 if the client has the same bytes.
   */
  send({ status, headers, bytes, etag, operation }: CachedResponse): void {
    const { request, response } = this;
    if (operation !== undefined) this.operation = operation;
    const common = this.#headers;
    if (etag !== undefined && request.method === 'GET') {
      common.push('ETag', etag, 'Cache-Control', 'private, no-cache');
      if (isNotModified(request, etag)) {
        response.writeHead(304, common);
        endInBatch(response);
        return;
      }
    }
    response.writeHead(status, common.concat(headers));
    endInBatch(response, bytes);
  }

  /**
   * The memory that this request holds, charged to its caller. After the request has ended it is released and cannot
   * grow.
   */
  holding(viewer: Caller['viewer']): MemoryHolding {
    this.#holding ??= this.#memory.open({ viewer, address: this.client.address });
    if (this.#references === 0) this.#holding.release();
    return this.#holding;
  }

  /**
   * Drops a reference: call it when the handler has finished. The second call, after the response has closed, releases
   * the memory.
   */
  leave(): void {
    if (--this.#references === 0) this.#holding?.release();
  }

  /** A signal that aborts when the client disconnects. */
  closed(): AbortSignal {
    const closed = new AbortController();
    this.response.once('close', () => closed.abort());
    return closed.signal;
  }

  #reportWhenClosed(log: Logger, metrics: Metrics): void {
    const { request, response, requestId, path } = this;
    const startedAt = performance.now();
    response.on('close', () => {
      const ms = Math.round((performance.now() - startedAt) * 100) / 100;
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
