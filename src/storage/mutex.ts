/** Lets those who take a turn go one after another, in the order they came. */
export class Mutex {
  #last: Promise<void> = Promise.resolve();

  /** Waits for one's turn, and gives what ends it; again does nothing. */
  async take(): Promise<() => void> {
    const before = this.#last;
    const turn = Promise.withResolvers<void>();
    this.#last = turn.promise;
    await before;
    return turn.resolve;
  }
}
