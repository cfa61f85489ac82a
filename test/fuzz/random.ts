/** Random choices determined by a seed and a case number: the same pair always generates the same request. */
export class Random {
  #state: number;
  #left = 0;

  constructor(seed: number, number: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b)) >>> 0;
  }

  /** Sets how many bytes the values of the request may use. */
  allow(bytes: number): void {
    this.#left = bytes;
  }

  /** Takes bytes for a value from the budget, and returns how many it granted: at most the rest of the budget. */
  spend(bytes: number): number {
    const taken = Math.min(bytes, this.#left);
    this.#left -= taken;
    return taken;
  }

  /** Returns a number from 0 up to but excluding 1, by mulberry32. */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Returns an integer from 0 up to but excluding `limit`. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  /** Returns true with this probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error('the list to pick from is empty');
    return items[this.below(items.length)] as T;
  }

  /** Returns an item, chosen with a probability proportional to its weight. */
  weighted<T>(items: readonly T[], weightOf: (item: T) => number): T {
    const weights = items.map(weightOf);
    let left = this.fraction() * weights.reduce((sum, weight) => sum + weight, 0);
    for (const [at, item] of items.entries()) {
      left -= weights[at] ?? 0;
      if (left < 0) return item;
    }
    return this.pick(items);
  }

  /** Returns up to `count` different items, in random order. */
  sample<T>(items: readonly T[], count: number): T[] {
    const left = [...items];
    return Array.from({ length: Math.min(count, left.length) }, () => left.splice(this.below(left.length), 1)[0] as T);
  }
}
