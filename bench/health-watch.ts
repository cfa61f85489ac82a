import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** The server that is watched; it is killed when its resident memory exceeds `mostMB`. */
export interface WatchOptions {
  readonly url: string;
  readonly pid: number;
  readonly mostMB: number;
}

/** The waits for GET /healthz, in milliseconds, and the most memory that was sampled since the last look. */
export interface Watched {
  readonly longestMs: number;
  readonly medianMs: number;
  /** Whether the last wait had not ended. */
  readonly isWaiting: boolean;
  readonly peakMB: number;
  /** Whether the server was killed because it took too much memory. */
  readonly isOverMemory: boolean;
}

/** Watches how long a server takes to answer GET /healthz, from a thread of its own. */
export class HealthWatch {
  readonly #thread: Worker;

  constructor(options: WatchOptions) {
    this.#thread = new Worker(new URL('health-watch-thread.ts', import.meta.url), { workerData: options });
  }

  /** The waits since the last look. A wait that has begun may last so many milliseconds longer; then it counts as it is. */
  async look(patienceMs: number): Promise<Watched> {
    const answer = once(this.#thread, 'message');
    this.#thread.postMessage(patienceMs);
    const [watched] = (await answer) as [Watched];
    return watched;
  }

  async stop(): Promise<void> {
    await this.#thread.terminate();
  }
}
