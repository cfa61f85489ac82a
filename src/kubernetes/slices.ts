let last: Promise<void> = Promise.resolve();

/**
 * Waits for a turn of the event loop that no other caller of this function has. Long computations call it between
 * slices of a few milliseconds: however many run at once, requests wait for one slice only.
 */
export function nextSlice(): Promise<void> {
  last = last.then(() => new Promise((resolve) => setImmediate(resolve)));
  return last;
}
