/** An answer that ends a request early: its status, one sentence, and the seconds of its `Retry-After`. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly retryAfter: number | undefined;

  constructor(status: number, message: string, { retryAfter }: { retryAfter?: number | undefined } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Refuses a request that would make its caller hold too much memory, which is free again once an answer is read. */
export function overMemory(): Refusal {
  return new Refusal(429, OVER_MEMORY, { retryAfter: 1 });
}

/** The error sentence for a request that would make its caller hold too much memory. */
export const OVER_MEMORY =
  'Your requests hold too much memory at once (64 MiB): wait until one of them is answered, and read its answer';
