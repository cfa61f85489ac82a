import type { Viewer } from '../domain/access/viewer.ts';
import { ERRORS, maskError } from '../graphql/errors.ts';
import { HttpError, overMemoryError } from '../http-error.ts';
import type { Logger } from '../log.ts';
import type { HttpExchange } from './http-exchange.ts';
import { MAX_UNCOUNTED } from './memory-budget.ts';
import type { CachedResponse } from './response-cache.ts';
import { REST, surfaceOf } from './surface.ts';

/** Sends an answer, which its caller holds until it is sent. */
export function send(exchange: HttpExchange, viewer: Viewer | null, answer: CachedResponse): void {
  const { bytes } = answer;
  if (bytes.length <= MAX_UNCOUNTED || exchange.holding(viewer).holdAnswer(bytes)) exchange.send(answer);
  else refuse(exchange, overMemoryError());
}

/** Answers with a refusal, as the surface of the path does. */
export function refuse(exchange: HttpExchange, { status, message, retryAfter, close }: HttpError): void {
  const surface = surfaceOf(exchange.path) ?? REST;
  surface.refuse(exchange.prepare(), status, message, {
    ...(retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) }),
    ...(close ? { Connection: 'close' } : {}),
  });
}

/**
 * Answers a request that failed, or cuts off an answer that has begun: the client must not take a part for the whole.
 * The log tells of what is no refusal, and of an answer that was cut off because the database failed.
 */
export function answerError(exchange: HttpExchange, error: unknown, log: Logger): void {
  const { response, requestId, path } = exchange;
  // Whoever failed to write an answer destroyed the response with the error. Without one the client has left.
  if (response.destroyed && !response.errored) return;
  if (error instanceof HttpError) {
    if (response.headersSent) response.destroy();
    else refuse(exchange, error);
    return;
  }
  const { message, extensions } = maskError(error, { log, requestId });
  const code = extensions.code as keyof typeof ERRORS | 'INTERNAL';
  if (!response.headersSent) {
    const status = code === 'INTERNAL' ? 500 : (ERRORS[code]?.status ?? 500);
    (surfaceOf(path) ?? REST).refuse(exchange.prepare(), status, message);
    return;
  }
  if (code === 'UNAVAILABLE') log.error({ err: error, requestId }, 'an answer was cut off');
  response.destroy();
}
