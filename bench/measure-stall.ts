import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from './attack.ts';
import { HealthWatch } from './health-watch.ts';
import { cpuOf, peakOf, resetPeak, residentOf } from './process.ts';
import type { Scenario } from './scenario.ts';
import type { ServerStarter } from './server-under-test.ts';

/** The measured effect of one attack. */
export interface Measured {
  readonly row: number;
  readonly what: string;
  readonly clusters: number;
  /** The number of concurrent attacks. */
  readonly times: number;
  readonly idleMedianMs: number;
  readonly idleLongestMs: number;
  /** The longest response time of GET /healthz during the attack minus the longest one before it. */
  readonly stallMs: number;
  /** Whether GET /healthz still had no response at the end. */
  readonly isStillWaiting: boolean;
  readonly memoryMB: number;
  /** NaN if the server did not survive. */
  readonly cpuS: number;
  readonly tookS: number;
  readonly bytes: number;
  readonly answered: string;
  readonly note: string;
  /** Whether the attack was cut short by the deadline or by the exit of the server. */
  readonly isCut: boolean;
}

/** Megabytes of resident memory at which the server is killed. */
export const MOST_MB = 3_000;
const IDLE_MS = 1_000;
/** Milliseconds to keep measuring after the responses, for work such as garbage collection. */
const AFTER_MS = 200;

/** Runs `times` concurrent attacks of a scenario on a new server and measures their effect on other callers. */
export async function measureStall(
  scenario: Scenario,
  { starter, times, deadlineMs }: { starter: ServerStarter; times: number; deadlineMs: number },
): Promise<Measured> {
  const { server, attack, stop } = await scenario.prepare(starter);
  const { pid } = server;
  const watch = new HealthWatch({ url: server.url, pid, mostMB: MOST_MB });
  const deadline = new AbortController();
  try {
    await watch.measure(IDLE_MS);
    await sleep(IDLE_MS);
    const idle = await watch.measure(IDLE_MS);
    const canReset = resetPeak(pid);
    const [memoryBefore, cpuBefore] = [residentOf(pid), cpuOf(pid)];
    const start = performance.now();
    const late = sleep(deadlineMs, undefined, { ref: false }).then(() => deadline.abort());
    const outcome = await Promise.race([
      attack(times, deadline.signal),
      late.then((): Outcome => ({ answered: `over ${deadlineMs / 1_000} s`, bytes: 0 })),
    ]);
    const tookS = (performance.now() - start) / 1_000;
    await sleep(AFTER_MS);
    const isAlive = existsSync(`/proc/${pid}`);
    const busy = await watch.measure(isAlive ? Math.max(IDLE_MS, deadlineMs - (performance.now() - start)) : 0);
    const lived = existsSync(`/proc/${pid}`);
    const peak = Math.max(busy.peakMB, canReset && lived ? peakOf(pid) : 0);
    const end = busy.isOverMemory ? `killed at ${MOST_MB} MB` : lived ? undefined : endOf(server.log());
    return {
      ...{ row: scenario.row, what: scenario.what, clusters: scenario.ownClusters ?? starter.clusters, times },
      ...{ idleMedianMs: idle.medianMs, idleLongestMs: idle.longestMs },
      stallMs: Math.max(0, busy.longestMs - idle.longestMs),
      isStillWaiting: busy.isWaiting,
      memoryMB: Math.max(0, peak - memoryBefore),
      cpuS: lived ? (cpuOf(pid) - cpuBefore) / 1e6 : Number.NaN,
      ...{ tookS, bytes: outcome.bytes, answered: outcome.answered },
      note: [end, outcome.note].filter((text) => text !== undefined).join('; '),
      isCut: deadline.signal.aborted || !lived,
    };
  } finally {
    deadline.abort();
    await watch.stop();
    await stop?.();
  }
}

function endOf(log: string): string {
  return /heap out of memory/i.test(log) ? 'the server ran out of heap and exited' : 'the server exited';
}
