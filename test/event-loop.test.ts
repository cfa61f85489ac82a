import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { yieldNow, yieldWhenBusy } from '../src/event-loop.ts';

// The time that computations take is simulated, since a busy machine may stop this process for longer.
beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

/** Computes for longer than an iteration may last. */
const compute = () => void vi.advanceTimersByTime(11);

/** Counts the iterations of the event loop until `work` ends, and passes the current number to it. */
async function countingIterations(work: (iteration: () => number) => Promise<unknown>): Promise<void> {
  let iterations = 0;
  const count = () => {
    iterations++;
    counting = setImmediate(count);
  };
  let counting = setImmediate(count);
  await work(() => iterations);
  clearImmediate(counting);
}

describe('computations that yield to the event loop', () => {
  it('yieldWhenBusy returns undefined while the iteration has time left', async () => {
    await yieldNow();
    expect(yieldWhenBusy()).toBeUndefined();
    expect(yieldWhenBusy()).toBeUndefined();
    compute();
    expect(yieldWhenBusy()).toBeInstanceOf(Promise);
  });

  it.each([
    ['yieldNow', yieldNow],
    ['yieldWhenBusy, after the iteration has used its time,', yieldWhenBusy],
  ])('%s gives each of many concurrent computations its own iteration, in the order of the calls', async (_, wait) => {
    await yieldNow();
    const iterationOf = new Map<number, number>();
    await countingIterations(async (iteration) => {
      expect(yieldWhenBusy()).toBeUndefined();
      compute();
      await Promise.all(
        Array.from({ length: 5 }, async (_, number) => {
          await wait();
          iterationOf.set(number, iteration());
        }),
      );
    });
    expect([...iterationOf.keys()]).toEqual([0, 1, 2, 3, 4]);
    expect(new Set(iterationOf.values()).size).toBe(5);
  });

  it('a computation that starts while others wait does not overtake them', async () => {
    const order: string[] = [];
    const first = yieldNow().then(() => order.push('first'));
    await Promise.all([first, yieldWhenBusy()?.then(() => order.push('second'))]);
    expect(order).toEqual(['first', 'second']);
  });
});
