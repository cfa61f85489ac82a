export interface HttpErrorOptions {
  /** The `Retry-After` header, in seconds. */
  readonly retryAfter?: number | undefined;
  /** Whether to close the connection instead of receiving the rest of the body. */
  readonly close?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An error response that ends a request early: its status, one sentence and its headers. */
export class HttpError extends Error {
  override readonly name = 'Refusal';
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
export function overMemoryError(): HttpError {
  return new HttpError(429, OVER_MEMORY, { retryAfter: 1 });
}

// Error sentences that several surfaces and the OpenAPI document use.

/** The request would exceed the memory budget of its caller. */
export const OVER_MEMORY =
  'Your requests hold too much memory at once (64 MiB): wait until one of them is answered, and read its answer';

/** The IP address of the caller has too many open requests. */
export const OVER_SHARE = 'Too many requests of your address are open at once: wait until some of them are answered';

/** The remaining budget of this minute is too small for the request body. */
export const OVER_BODY_BUDGET =
  'Your requests of this minute have cost too much: wait for the next minute, or send smaller bodies';

export const TOO_LARGE_BODY = 'the body is too large';
/** The body consists of too many small chunks. */
export const TOO_MANY_CHUNKS = 'the body has more than 4096 chunks of less than 256 bytes';
/** The body does not match its `Content-Encoding`. */
export const UNREADABLE_BODY = 'the body cannot be read';
/** The connection was closed before the end of the body, or the body did not arrive in time. */
export const CUT_BODY = 'the request ended before its body';
