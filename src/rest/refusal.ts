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
