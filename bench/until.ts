import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 120_000;

/** Waits until something is so, and fails where it is not within two minutes; looks again after each pause. */
export async function until(what: string, isSo: () => Promise<boolean>, pauseMs = 20): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not within ${PATIENCE_MS / 1_000} s: ${what}`);
    await sleep(pauseMs);
  }
}
