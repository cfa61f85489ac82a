import type { Counters, Database } from './database.ts';

/** How late a change may be heard of: a look costs 3 µs, whoever wrote. */
const LOOK_MS = 50;

/** Tells those who wait when the counters move, by whichever process. It looks only while somebody waits. */
export class News {
  readonly #database: Pick<Database, 'counters'>;
  readonly #waiting = new Set<{ seen: Counters; resolve: (counters: Counters) => void }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(database: Pick<Database, 'counters'>) {
    this.#database = database;
  }

  /** The counters, as soon as they differ from those that were seen; undefined when the signal ends the wait. */
  after(seen: Counters, signal: AbortSignal): Promise<Counters | undefined> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(undefined);
      const wait = {
        seen,
        resolve: (counters: Counters | undefined) => {
          this.#waiting.delete(wait);
          signal.removeEventListener('abort', stop);
          resolve(counters);
        },
      };
      const stop = () => wait.resolve(undefined);
      signal.addEventListener('abort', stop, { once: true });
      this.#waiting.add(wait);
      this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref();
      this.#look();
    });
  }

  #look(): void {
    if (this.#waiting.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const counters = this.#read();
    if (!counters) return;
    for (const { seen, resolve } of this.#waiting) if (differ(seen, counters)) resolve(counters);
  }

  // A database that is away has no news; the next look tries again.
  #read(): Counters | undefined {
    try {
      return this.#database.counters();
    } catch {
      return undefined;
    }
  }
}

function differ(left: Counters, right: Counters): boolean {
  return left.registry !== right.registry || left.status !== right.status || left.access !== right.access;
}
