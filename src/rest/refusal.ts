import { OVER_MEMORY } from '../graphql/answer-size.ts';

/**
 * An answer that ends a request early: its status, one sentence, the seconds of its `Retry-After`, and whether the
 * connection is closed, so that the rest of the body is not received.
 */
export class Refusal extends Error {
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
export function overMemory(): Refusal {
  return new Refusal(429, OVER_MEMORY, { retryAfter: 1 });
}
