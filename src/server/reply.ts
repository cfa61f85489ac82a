import type { Viewer } from '../domain/access/caller.ts';
import { ERRORS, maskError } from '../graphql/errors.ts';
import { HttpError, memoryBudgetError } from '../http-error.ts';
import type { Logger } from '../log.ts';
import { apiOf, REST } from './api.ts';
import type { HttpExchange } from './http-exchange.ts';
import { MAX_UNCOUNTED } from './memory-budget.ts';
import type { CachedResponse } from './response-cache.ts';

/** Sends a response. Its bytes count against the caller's memory limit until it is sent. */
export function send(exchange: HttpExchange, viewer: Viewer | null, response: CachedResponse): void {
  const { bytes } = response;
  if (bytes.length <= MAX_UNCOUNTED || exchange.holding(viewer).holdResponse(bytes)) exchange.send(response);
  else refuse(exchange, memoryBudgetError());
}

/** Sends an HttpError in the format of the API that the path belongs to. */
function refuse(exchange: HttpExchange, { status, message, retryAfter, close, headers }: HttpError): void {
  const api = apiOf(exchange.path) ?? REST;
  api.refuse(exchange.prepare(), status, message, {
    ...headers,
    ...(retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) }),
    ...(close ? { Connection: 'close' } : {}),
  });
}

/**
 * Sends the response for an error. If the response has begun, destroys the connection instead, so that the client does
 * not mistake a truncated response for a complete one. Logs unexpected errors, and responses cut off by the database.
 */
export function sendError(exchange: HttpExchange, error: unknown, log: Logger): void {
  const { response, requestId } = exchange;
  const refusal = error instanceof HttpError ? error : maskAsHttpError(error, { log, requestId });
  // A response that was destroyed without an error means that the client disconnected.
  if (response.destroyed && !response.errored) return;
  if (!response.headersSent) refuse(exchange, refusal);
  else {
    if (refusal.status === 503) log.error({ err: error, requestId }, 'a response was cut off');
    response.destroy();
  }
}

function maskAsHttpError(error: unknown, context: { log: Logger; requestId: string }): HttpError {
  const { message, extensions } = maskError(error, context);
  const { code, retryAfterSeconds } = extensions;
  const status = Object.hasOwn(ERRORS, String(code)) ? ERRORS[code as keyof typeof ERRORS].status : 500;
  return new HttpError(status, message, {
    retryAfter: typeof retryAfterSeconds === 'number' ? retryAfterSeconds : undefined,
  });
}
