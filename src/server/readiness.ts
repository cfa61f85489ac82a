import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import type { Database } from '../storage/database.ts';

/** How long a check waits for the database. A kubelet's probe has a timeout of one second or more. */
const TIMEOUT_MS = 3_000;

/**
 * Returns a function that checks whether the database is available. Logs when the database becomes unavailable or
 * available.
 */
export function readinessCheck(database: Pick<Database, 'check'>, log: Logger): () => Promise<boolean> {
  let wasReady = true;
  return async () => {
    try {
      // The check queues behind other writes, so limit the wait: the caller has a timeout of its own.
      await Promise.race([database.check(), rejectAfter(TIMEOUT_MS)]);
      if (!wasReady) log.info('the database is available again');
      wasReady = true;
    } catch (error) {
      // Log only the transition: proxies may check readiness every second.
      if (wasReady) log.error({ err: error }, 'the database is not available');
      wasReady = false;
    }
    return wasReady;
  };
}

async function rejectAfter(ms: number): Promise<never> {
  await sleep(ms, undefined, { ref: false });
  throw new Error('the database did not respond in time');
}
