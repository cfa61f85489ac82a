/** Reads that each caller has under way; the rest wait in a queue of that caller's own, so that others are answered meanwhile. */
export class ReadShares {
  readonly #atOnce: number;
  readonly #callers = new Map<string, { running: number; readonly waiting: (() => void)[] }>();

  /** `atOnce` is how many reads of one caller may be under way. */
  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Runs a read in the share of a caller. A read must not start another inside: the two might wait for each other. */
  async run<T>(caller: string, read: () => Promise<T>): Promise<T> {
    const share = this.#callers.get(caller) ?? { running: 0, waiting: [] };
    this.#callers.set(caller, share);
    if (share.running < this.#atOnce) share.running++;
    else await new Promise<void>((resolve) => share.waiting.push(resolve));
    try {
      return await read();
    } finally {
      const next = share.waiting.shift();
      // The place goes on to the next one that waits.
      if (next) next();
      else if (--share.running === 0) this.#callers.delete(caller);
    }
  }
}
