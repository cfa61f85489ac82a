import { type Clock, systemClock } from '../../src/kubernetes/clock.ts';

/** A clock that stands still until it is moved. */
export class StillClock implements Clock {
  #epoch = Date.parse('2026-01-01T00:00:00Z');
  #elapsed = 0;
  #timers: { at: number; call: () => void }[] = [];

  now(): number {
    return this.#epoch + this.#elapsed;
  }

  elapsed(): number {
    return this.#elapsed;
  }

  /** Sets the time back as an operator does, or NTP; nothing that waits is touched by it. */
  setBack(ms: number): void {
    this.#epoch -= ms;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#elapsed + ms, call };
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
    const end = this.#elapsed + ms;
    await settled();
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end);
      if (due.length === 0) break;
      const at = Math.min(...due.map((timer) => timer.at));
      const calls = due.filter((timer) => timer.at === at);
      this.#timers = this.#timers.filter((timer) => !calls.includes(timer));
      this.#elapsed = at;
      for (const { call } of calls) call();
      await settled();
    }
    this.#elapsed = end;
  }
}

/** Once every promise that can go on has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The clock of the machine, so many times as fast. */
export function fastClock(factor: number): Clock {
  const [epoch, begin] = [Date.now(), performance.now()];
  const elapsed = () => (performance.now() - begin) * factor;
  return {
    now: () => epoch + elapsed(),
    elapsed,
    after: (ms, call) => systemClock.after(ms / factor, call),
  };
}
