import { type Clock, systemClock } from '../../src/kubernetes/clock.ts';

/** A clock that stands still until it is moved. */
export class StillClock implements Clock {
  #now = Date.parse('2026-01-01T00:00:00Z');
  #timers: { at: number; call: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#now + ms, call };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Resolves after so many milliseconds of this clock. */
  elapse(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Moves on, call by call, letting everything happen that follows from each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end);
      if (due.length === 0) break;
      const at = Math.min(...due.map((timer) => timer.at));
      const calls = due.filter((timer) => timer.at === at);
      this.#timers = this.#timers.filter((timer) => !calls.includes(timer));
      this.#now = at;
      for (const { call } of calls) call();
      await settled();
    }
    this.#now = end;
  }
}

/** Once every promise that can go on has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The clock of the machine, so many times as fast. */
export function fastClock(factor: number): Clock {
  const begin = Date.now();
  return {
    now: () => begin + (Date.now() - begin) * factor,
    after: (ms, call) => systemClock.after(ms / factor, call),
  };
}
