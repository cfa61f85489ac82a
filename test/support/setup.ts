// Vitest runs this file before each test file, in the same process.
import { aroundEach, expect, vi } from 'vitest';
import { atLoad } from './load.ts';
import { runningTest } from './running-test.ts';

const TEST_MS = 30_000;
const HOOK_MS = 60_000;
/** How long to wait for a condition where a test gives no limit. */
const WAIT_MS = 5_000;

vi.setConfig({ testTimeout: atLoad(TEST_MS), hookTimeout: atLoad(HOOK_MS) });

aroundEach((runTest, context) => runningTest.run(context, runTest));

/** Scales the limit of `expect.poll`, `vi.waitFor` and `vi.waitUntil` by the load of the machine. */
function scaled(options: number | { timeout?: number; interval?: number } = {}) {
  const { timeout = WAIT_MS, ...others } = typeof options === 'number' ? { timeout: options } : options;
  return { ...others, timeout: atLoad(timeout) };
}

const { poll } = expect;
// The test's own `expect`, because the global one does not know which of several concurrent tests calls it.
expect.poll = (read, options) => (runningTest.getStore()?.expect.poll ?? poll)(read, scaled(options));
const { waitFor, waitUntil } = vi;
vi.waitFor = (callback, options) => waitFor(callback, scaled(options));
vi.waitUntil = (callback, options) => waitUntil(callback, scaled(options));
