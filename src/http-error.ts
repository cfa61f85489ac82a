export interface HttpErrorOptions {
  /** The `Retry-After` header, in seconds. */
  readonly retryAfter?: number | undefined;
  /** Whether to close the connection instead of receiving the rest of the body. */
  readonly close?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An error response that ends a request early: its status, one sentence and its headers. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly retryAfter: number | undefined;
  readonly close: boolean;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, options: HttpErrorOptions = {}) {
    super(message);
    this.status = status;
    this.retryAfter = options.retryAfter;
    this.close = options.close ?? false;
    this.headers = options.headers ?? {};
  }
}

/**
 * The error for a request that would exceed the memory budget of its caller. Memory is released once a response has
 * been read.
 */
export function memoryBudgetError(): HttpError {
  return new HttpError(429, MEMORY_BUDGET_EXCEEDED, { retryAfter: 1 });
}

// Error sentences that both APIs and the OpenAPI document use.

/** The request would exceed the memory budget of its caller. */
export const MEMORY_BUDGET_EXCEEDED =
  'Your requests use too much memory at once (64 MiB): wait until one of them has finished, and read its response';

/** The IP address of the caller has too many open requests. */
export const ADDRESS_SHARE_EXCEEDED =
  'Too many requests from your address are open at once: wait until some of them have finished';

/** The remaining budget of this minute is too small for the request body. */
export const BODY_BUDGET_EXCEEDED =
  'Your requests have used up the cost budget of this minute: wait for the next minute, or send smaller bodies';

export const TOO_LARGE_BODY = 'the body is too large';
/** The body consists of too many small chunks. */
export const TOO_MANY_CHUNKS = 'the body has more than 4096 chunks of less than 256 bytes';
/** The body does not match its `Content-Encoding`. */
export const UNREADABLE_BODY = 'the body cannot be read';
/** The connection was closed before the end of the body, or the body did not arrive in time. */
export const INCOMPLETE_BODY = 'the request ended before its body';
