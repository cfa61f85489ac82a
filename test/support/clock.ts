import { type Clock, systemClock } from '../../src/kubernetes/prober/clock.ts';

/** A clock that stands still until a test advances it. */
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

  /** Sets the time back as an operator or NTP does; pending timers are not affected. */
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

  /** Resolves after this many milliseconds of this clock. */
  elapse(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Advances the clock timer by timer, and lets every consequence of each timer run first. */
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

/** Resolves once every promise that can settle has settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The machine's clock, sped up by this factor. */
export function fastClock(factor: number): Clock {
  const [epoch, begin] = [Date.now(), performance.now()];
  const elapsed = () => (performance.now() - begin) * factor;
  return {
    now: () => epoch + elapsed(),
    elapsed,
    after: (ms, call) => systemClock.after(ms / factor, call),
  };
}
