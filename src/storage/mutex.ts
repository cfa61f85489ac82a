/** A mutual-exclusion lock that is granted in the order of the requests. */
export class Mutex {
  #last: Promise<void> = Promise.resolve();

  /** Waits for the lock. Returns a function that releases it; further calls of that function do nothing. */
  async acquire(): Promise<() => void> {
    const previous = this.#last;
    const lock = Promise.withResolvers<void>();
    this.#last = lock.promise;
    await previous;
    return lock.resolve;
  }
}
