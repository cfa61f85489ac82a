/** Time as a schedule needs it: a test brings one that it moves itself. */
export interface Clock {
  /** Milliseconds since the epoch, as they are stored and shown: the machine's time may be set back. */
  now(): number;
  /** Milliseconds since some moment, which only grow: what a duration is measured in. */
  elapsed(): number;
  /** Calls once after so many milliseconds, and gives what calls that off. */
  after(ms: number, call: () => void): () => void;
}

/** The clock of the machine; what waits on it keeps no process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms).unref();
    return () => clearTimeout(timer);
  },
};
