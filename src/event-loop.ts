/** Milliseconds of computing per iteration of the event loop. Further work waits for a later iteration. */
const ITERATION_MS = 10;

/** When the first computation of this iteration began; undefined if none has. */
let begunAt: number | undefined;
const waiting: (() => void)[] = [];

/**
 * Waits for an iteration of the event loop that no other waiting computation shares. A long computation calls it
 * between parts of a few milliseconds, so that a short request waits for one part at most.
 */
export function yieldNow(): Promise<void> {
  if (begunAt === undefined) begin();
  return new Promise((resolve) => waiting.push(resolve));
}

/**
 * Like `yieldNow`, but returns undefined, without a promise, while this iteration has time left. For work that is
 * usually short.
 */
export function yieldWhenBusy(): Promise<void> | undefined {
  if (begunAt === undefined) begin();
  const hasTime = waiting.length === 0 && performance.now() - (begunAt as number) < ITERATION_MS;
  return hasTime ? undefined : yieldNow();
}

function begin(): void {
  begunAt = performance.now();
  setImmediate(end);
}

function end(): void {
  begunAt = undefined;
  const next = waiting.shift();
  if (!next) return;
  begin();
  next();
}
