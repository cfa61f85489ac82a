import type { Counters, Database } from './database.ts';

/** What a timer can be set to. */
const MAX_WAIT_MS = 2 ** 31 - 1;

/** Tells those who wait when the counters move, by whichever process. It looks only while somebody waits. */
export class ChangeNotifier {
  readonly #database: Pick<Database, 'counters' | 'watch'>;
  readonly #waiting = new Set<{ seen: Counters; resolve: (counters: Counters) => void }>();
  #stop: (() => void) | undefined;

  constructor(database: Pick<Database, 'counters' | 'watch'>) {
    this.#database = database;
  }

  /** The counters, as soon as they differ from those that were seen; undefined when the signal or its time ends the wait. */
  after(seen: Counters, signal: AbortSignal, until?: Date): Promise<Counters | undefined> {
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
      this.#stop ??= this.#database.watch(() => void this.#look());
      void this.#look();
    });
  }

  async #look(): Promise<void> {
    if (this.#waiting.size === 0) {
      this.#stop?.();
      this.#stop = undefined;
      return;
    }
    const counters = await this.#read();
    if (!counters) return;
    for (const { seen, resolve } of this.#waiting) if (differ(seen, counters)) resolve(counters);
  }

  // A database that is away has no news; the next look tries again.
  async #read(): Promise<Counters | undefined> {
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
