/**
 * An answer that ends a request early: its status, one sentence, the seconds of its `Retry-After`, and whether the
 * connection is closed, so that the rest of the body is not received.
 */
export class HttpError extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly retryAfter: number | undefined;
  readonly close: boolean;

  constructor(status: number, message: string, options: { retryAfter?: number | undefined; close?: boolean } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = options.retryAfter;
    this.close = options.close ?? false;
  }
}

/** Refuses a request that would make its caller hold too much memory, which is free again once an answer is read. */
export function overMemoryError(): HttpError {
  return new HttpError(429, OVER_MEMORY, { retryAfter: 1 });
}

// The error sentences that more than one surface answers, and the OpenAPI document tells.

/** Of a request that would make its caller hold too much memory. */
export const OVER_MEMORY =
  'Your requests hold too much memory at once (64 MiB): wait until one of them is answered, and read its answer';

/** Of an address with too many open requests. */
export const OVER_SHARE = 'Too many requests of your address are open at once: wait until some of them are answered';

/** Of a body for which the caller's budget of the minute does not last. */
export const OVER_BODY_BUDGET =
  'Your requests of this minute have cost too much: wait for the next minute, or send smaller bodies';

export const TOO_LARGE_BODY = 'the body is too large';
/** Of a body in chunks that are too small and too many. */
export const TOO_MANY_CHUNKS = 'the body has more than 4096 chunks of less than 256 bytes';
/** Of a body that is not what its `Content-Encoding` says. */
export const UNREADABLE_BODY = 'the body cannot be read';
/** Of a body whose connection was cut, or that was not received in time. */
export const CUT_BODY = 'the request ended before its body';
