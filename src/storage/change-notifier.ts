import type { Counters, Database } from './database.ts';

/** The longest delay that setTimeout accepts. */
const MAX_WAIT_MS = 2 ** 31 - 1;

/** Resolves waiting callers when any process increments a counter. Reads the counters only while a caller waits. */
export class ChangeNotifier {
  readonly #database: Pick<Database, 'counters' | 'watch'>;
  readonly #waiting = new Set<{ seen: Counters; resolve: (counters: Counters) => void }>();
  #stop: (() => void) | undefined;

  constructor(database: Pick<Database, 'counters' | 'watch'>) {
    this.#database = database;
  }

  /**
   * Resolves with the counters once they differ from `seen`; with undefined when the signal aborts or `until` passes.
   */
  waitForChange(seen: Counters, signal: AbortSignal, until?: Date): Promise<Counters | undefined> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(undefined);
      const wait = {
        seen,
        resolve: (counters: Counters | undefined) => {
          this.#waiting.delete(wait);
          signal.removeEventListener('abort', stop);
          clearTimeout(timer);
          resolve(counters);
        },
      };
      const stop = () => wait.resolve(undefined);
      const timer = until && setTimeout(stop, Math.min(until.getTime() - Date.now(), MAX_WAIT_MS)).unref();
      signal.addEventListener('abort', stop, { once: true });
      this.#waiting.add(wait);
      this.#stop ??= this.#database.watch(() => void this.#resolveChanged());
      void this.#resolveChanged();
    });
  }

  async #resolveChanged(): Promise<void> {
    if (this.#waiting.size === 0) {
      this.#stop?.();
      this.#stop = undefined;
      return;
    }
    const counters = await this.#readCounters();
    if (!counters) return;
    for (const { seen, resolve } of this.#waiting) if (differ(seen, counters)) resolve(counters);
  }

  // An unavailable database counts as unchanged; the next notification or poll reads it again.
  async #readCounters(): Promise<Counters | undefined> {
    try {
      return await this.#database.counters();
    } catch {
      return undefined;
    }
  }
}

function differ(left: Counters, right: Counters): boolean {
  return left.registry !== right.registry || left.status !== right.status || left.access !== right.access;
}
