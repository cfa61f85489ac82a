/**
 * Limits the concurrent reads of each caller. Further reads wait in a queue per caller, so other callers are not
 * delayed.
 */
export class ReadShares {
  readonly #maxConcurrent: number;
  readonly #callers = new Map<string, { running: number; readonly waiting: (() => void)[] }>();

  /** `maxConcurrent` is the number of reads that one caller may run at the same time. */
  constructor(maxConcurrent: number) {
    this.#maxConcurrent = maxConcurrent;
  }

  /** Runs `read` within the limit of `caller`. `read` must not call `run` for the same caller: it could deadlock. */
  async run<T>(caller: string, read: () => Promise<T>): Promise<T> {
    const share = this.#callers.get(caller) ?? { running: 0, waiting: [] };
    this.#callers.set(caller, share);
    if (share.running < this.#maxConcurrent) share.running++;
    else await new Promise<void>((resolve) => share.waiting.push(resolve));
    try {
      return await read();
    } finally {
      const next = share.waiting.shift();
      // The next waiting read takes over this read's place, so `running` stays the same.
      if (next) next();
      else if (--share.running === 0) this.#callers.delete(caller);
    }
  }
}
