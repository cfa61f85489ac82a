import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Milliseconds of work per turn of the event loop. Further work waits for the next turn, so that requests are served.
 */
const TURN_MS = 10;

/** Spreads work of the main thread over several turns of the event loop, across all callers. */
export class Pace {
  #spentMs = 0;

  /** Waits for a turn of the event loop that has time left. Returns undefined, without a promise, if this turn has. */
  wait(): Promise<void> | undefined {
    return this.#spentMs < TURN_MS ? undefined : this.#waitForTime();
  }

  /** Runs `work` and adds its duration to the time spent in this turn. */
  run<T>(work: () => T): T {
    const start = performance.now();
    try {
      return work();
    } finally {
      if (this.#spentMs === 0)
        setImmediate(() => {
          this.#spentMs = 0;
        });
      this.#spentMs += performance.now() - start;
    }
  }

  // Waiters wake in order, and the first ones may use up the new turn: each one checks again.
  async #waitForTime(): Promise<void> {
    while (this.#spentMs >= TURN_MS) await nextTurn();
  }
}
