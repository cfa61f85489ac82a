import { setImmediate as nextTurn } from 'node:timers/promises';

/** Milliseconds of work in one turn of the event loop, after which more waits for the next: requests are taken in between. */
const TURN_MS = 10;

/** Spreads work that runs in the main thread over turns of the event loop, whoever asks for it. */
export class Pace {
  #spentMs = 0;

  /** Waits until this turn of the event loop has time left; undefined where it has, without a promise. */
  wait(): Promise<void> | undefined {
    return this.#spentMs < TURN_MS ? undefined : this.#waitForTime();
  }

  /** Runs a piece of work, and counts its time. */
  run<T>(work: () => T): T {
    const began = performance.now();
    try {
      return work();
    } finally {
      if (this.#spentMs === 0)
        setImmediate(() => {
          this.#spentMs = 0;
        });
      this.#spentMs += performance.now() - began;
    }
  }

  // Whoever waits wakes in the order they came, and the first ones may use up the turn again.
  async #waitForTime(): Promise<void> {
    while (this.#spentMs >= TURN_MS) await nextTurn();
  }
}
