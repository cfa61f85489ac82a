/**
 * The time for work that deletes by age. It follows a forward jump of the machine's clock at the second look only, so that a
 * clock that is corrected between two looks has deleted nothing.
 */
export class CautiousClock {
  readonly #now: () => Date;
  #last = { wall: performance.timeOrigin, elapsed: 0 };

  constructor(now: () => Date) {
    this.#now = now;
  }

  look(): Date {
    const [wall, elapsed] = [this.#now().getTime(), performance.now()];
    const expected = this.#last.wall + elapsed - this.#last.elapsed;
    this.#last = { wall, elapsed };
    return new Date(Math.min(wall, expected));
  }
}
