import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 120_000;

/** Polls a condition every `pauseMs` milliseconds. Throws if it does not become true within two minutes. */
export async function until(what: string, isMet: () => Promise<boolean>, pauseMs = 20): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await isMet())) {
    if (performance.now() > end) throw new Error(`not within ${PATIENCE_MS / 1_000} s: ${what}`);
    await sleep(pauseMs);
  }
}
