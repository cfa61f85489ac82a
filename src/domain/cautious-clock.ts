/**
 * A clock for deletion by age. It follows a forward jump of the system clock only at the second call, so that a jump
 * that is corrected between two calls deletes nothing.
 */
export class CautiousClock {
  readonly #now: () => Date;
  #last = { wall: performance.timeOrigin, elapsed: 0 };

  constructor(now: () => Date) {
    this.#now = now;
  }

  now(): Date {
    const [wall, elapsed] = [this.#now().getTime(), performance.now()];
    const expected = this.#last.wall + elapsed - this.#last.elapsed;
    this.#last = { wall, elapsed };
    return new Date(Math.min(wall, expected));
  }
}
