let last: Promise<void> = Promise.resolve();

/**
 * Waits for an event-loop iteration that no other caller of this function shares. A long computation calls it between
 * slices of a few milliseconds. A request then waits for at most one slice, however many computations run concurrently.
 */
export function nextSlice(): Promise<void> {
  last = last.then(() => new Promise((resolve) => setImmediate(resolve)));
  return last;
}
