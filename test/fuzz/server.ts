import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HealthWatch } from '../../bench/health-watch.ts';
import { peakOf, resetPeak, residentOf, spawnNode } from '../../bench/process.ts';
import { startScript } from '../../bench/product.ts';
import { freePort } from '../support/free-port.ts';
import { send } from './send.ts';

/** More than the documents of a run cost, so that no document is refused because of earlier ones. */
const COST_PER_MINUTE = 1_000_000_000;

/** A main thread that uses less CPU time than this within twice the time is idle. */
const IDLE_MS = 10;
const SETTLE_MS = 5_000;

/** The product as a separate process over a copy of a data directory, with measurements of its resource usage. */
export class FuzzServer {
  readonly url: string;
  readonly #health: HealthWatch;
  readonly #metricsUrl: string;
  readonly #process: ReturnType<typeof spawnNode>;
  #isRunning = true;
  #errors: string[] = [];

  private constructor(process: ReturnType<typeof spawnNode>, url: string, metricsUrl: string) {
    [this.#process, this.url, this.#metricsUrl] = [process, url, metricsUrl];
    this.#health = new HealthWatch({ url, pid: process.pid });
    process.child.once('exit', () => {
      this.#isRunning = false;
    });
    process.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors.push(...text.split('\n').filter((line) => /"level":[56]0/.test(line)));
    });
  }

  /** Starts the product as `npm start` does, over a copy of `seeded`, which stays unchanged. */
  static async start(seeded: string): Promise<FuzzServer> {
    const dataDir = `${seeded}-running`;
    await rm(dataDir, { recursive: true, force: true });
    await cp(seeded, dataDir, { recursive: true });
    const [port, metricsPort] = [await freePort(), await freePort()];
    const { environment, words } = startScript();
    const process = spawnNode(words, {
      environment: {
        ...environment,
        ...{ PORT: String(port), METRICS_PORT: String(metricsPort), DATA_DIR: dataDir },
        GRAPHQL_COST_PER_MINUTE: String(COST_PER_MINUTE),
      },
      stdout: 'pipe',
    });
    const url = `http://127.0.0.1:${port}`;
    while ((await send(url, { method: 'GET', path: '/readyz' })).status !== 200) {
      if (process.child.exitCode !== null)
        throw new Error(`the server ended with ${process.child.exitCode} at its start`);
      await sleep(20);
    }
    return new FuzzServer(process, url, `http://127.0.0.1:${metricsPort}`);
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Returns the error log lines since the last call. */
  takeErrors(): string[] {
    return this.#errors.splice(0);
  }

  /** CPU time in milliseconds that the main thread, which serves all requests, has used so far. */
  mainThreadMs(): number {
    if (!this.#isRunning) return 0;
    const { pid } = this.#process;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'latin1').split(' ')[0]) / 1e6;
  }

  /** Waits until the server has stopped working on requests of disconnected clients, for at most a few seconds. */
  async settle(): Promise<void> {
    const end = performance.now() + SETTLE_MS;
    for (let before = -IDLE_MS; this.mainThreadMs() - before >= IDLE_MS && performance.now() < end; ) {
      before = this.mainThreadMs();
      await sleep(2 * IDLE_MS);
    }
  }

  /** Returns the longest wait of another caller since the last call, in milliseconds. */
  async takeStallMs(): Promise<number> {
    return (await this.#health.measure(0)).longestMs;
  }

  /** Resident memory now, and its maximum since the last call, in bytes. */
  memory(): { now: number; peak: number } {
    if (!this.#isRunning) return { now: 0, peak: 0 };
    const { pid } = this.#process;
    const memory = { now: residentOf(pid) * 1e6, peak: peakOf(pid) * 1e6 };
    resetPeak(pid);
    return memory;
  }

  /** Returns the cost that all documents and bodies have been charged so far. */
  async charged(): Promise<number> {
    const { text } = await send(this.#metricsUrl, { method: 'GET', path: '/metrics' });
    const costs = text.matchAll(/^kitestring_charged_cost_total\S* (\S+)$/gm);
    return Array.from(costs, ([, cost]) => Number(cost)).reduce((sum, cost) => sum + cost, 0);
  }

  /** Kills the process immediately and deletes its data. */
  async stop(): Promise<void> {
    await this.#health.stop();
    if (!this.#isRunning) return;
    const ended = once(this.#process.child, 'exit');
    this.#process.child.kill('SIGKILL');
    await ended;
  }
}
