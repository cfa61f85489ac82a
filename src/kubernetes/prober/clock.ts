/** The time source and timers of a scheduler; tests substitute a clock that they advance by hand. */
export interface Clock {
  /** Wall-clock time in milliseconds since the epoch, for storage and display. It can jump backwards. */
  now(): number;
  /** Monotonic time in milliseconds since an arbitrary moment, for measuring durations. */
  elapsed(): number;
  /** Calls `call` once after `ms` milliseconds; the returned function cancels the call. */
  after(ms: number, call: () => void): () => void;
}

/** The machine's clock; its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms).unref();
    return () => clearTimeout(timer);
  },
};
