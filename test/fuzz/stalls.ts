// Requests /healthz continuously from its own thread, so that the measured wait is the server's and not the fuzzer's.
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const PAUSE_MS = 2;

/** Measures the longest wait for /healthz. */
export class Stalls {
  readonly #longest = new Float64Array(new SharedArrayBuffer(16));
  readonly #worker: Worker;

  constructor(url: string) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: { url, longest: this.#longest } });
    this.#worker.unref();
  }

  /** Resets the longest wait; requests that are already waiting count from now on. */
  reset(): void {
    this.#longest[0] = 0;
    this.#longest[1] = performance.timeOrigin + performance.now();
  }

  /** The longest wait since the reset, in milliseconds. */
  get longestMs(): number {
    return this.#longest[0] ?? 0;
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

async function watch({ url, longest }: { url: string; longest: Float64Array }): Promise<never> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const now = () => performance.timeOrigin + performance.now();
  for (;;) {
    const began = now();
    await new Promise<void>((resolve) => {
      get(`${url}/healthz`, { agent }, (response) => response.resume().once('close', resolve)).once('error', () =>
        resolve(),
      );
    });
    const waited = now() - Math.max(began, longest[1] ?? 0);
    longest[0] = Math.max(longest[0] ?? 0, waited);
    await sleep(PAUSE_MS);
  }
}

if (!isMainThread) await watch(workerData);
