import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import type { Database } from '../storage/database.ts';

/** How long is waited for the database: kubelets give a probe a second or more. */
const PATIENCE_MS = 3_000;

/** Tells whether the database can do its work now; the log hears when that ends, and when it is so again. */
export function readinessOf(database: Pick<Database, 'check'>, log: Logger): () => Promise<boolean> {
  let wasReady = true;
  return async () => {
    try {
      // A check waits for its turn among the writers; whoever asks wants to know within their own patience.
      await Promise.race([database.check(), tooLate(PATIENCE_MS)]);
      if (!wasReady) log.info('the database is available again');
      wasReady = true;
    } catch (error) {
      // Once, and not each second that a proxy asks.
      if (wasReady) log.error({ err: error }, 'the database is not available');
      wasReady = false;
    }
    return wasReady;
  };
}

async function tooLate(ms: number): Promise<never> {
  await sleep(ms, undefined, { ref: false });
  throw new Error('the database did not answer in time');
}
