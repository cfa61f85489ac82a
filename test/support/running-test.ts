import { AsyncLocalStorage } from 'node:async_hooks';
import type { TestContext } from 'vitest';

/** The test that the present code runs for, also while several tests of a file run concurrently. */
export const runningTest = new AsyncLocalStorage<TestContext>();

/**
 * Registers a clean-up of the running test. Once the test is over, as after a time-out, the clean-up runs immediately
 * and the caller gets an error, so that a test that timed out leaves nothing behind for the tests after it.
 */
export function onTestFinished(cleanUp: () => unknown): void {
  const context = runningTest.getStore();
  if (!context) throw new Error('onTestFinished was called outside a test');
  if (!context.signal.aborted && context.task.result?.state === 'run') {
    context.onTestFinished(async () => void (await cleanUp()));
    return;
  }
  void cleanUp();
  throw new Error(`the test is over: ${context.task.name}`);
}
