import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** The server to watch. It is killed if its resident memory exceeds `mostMB`; without it, memory is not watched. */
export interface WatchOptions {
  readonly url: string;
  readonly pid: number;
  readonly mostMB?: number;
}

/** The response times of GET /healthz in milliseconds, and the peak memory, since the last measurement. */
export interface Watched {
  readonly longestMs: number;
  readonly medianMs: number;
  /** Whether the last request had no response yet. */
  readonly isWaiting: boolean;
  readonly peakMB: number;
  /** Whether the server was killed because it exceeded `mostMB`. */
  readonly isOverMemory: boolean;
}

/** Measures, in a separate thread, how long a server takes to respond to GET /healthz. */
export class HealthWatch {
  readonly #thread: Worker;

  constructor(options: WatchOptions) {
    this.#thread = new Worker(new URL('health-watch-thread.ts', import.meta.url), { workerData: options });
    this.#thread.unref();
  }

  /**
   * Returns the measurements since the last call. Waits up to `patienceMs` milliseconds for the response to the current
   * request; after that, the time waited so far counts, and the next call counts the rest.
   */
  async measure(patienceMs: number): Promise<Watched> {
    const message = once(this.#thread, 'message');
    this.#thread.postMessage(patienceMs);
    const [watched] = (await message) as [Watched];
    return watched;
  }

  async stop(): Promise<void> {
    await this.#thread.terminate();
  }
}
