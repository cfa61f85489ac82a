import type { Clock } from './clock.ts';

/** Milliseconds by which a batch may be late (docs/architecture.md). */
const BATCH_MS = 100;
/** Milliseconds until a batch that could not be delivered is tried again. */
const RETRY_MS = 1_000;

/** How items are told apart, and where they go. */
export interface BatchOptions<Item> {
  clock: Clock;
  /** What an item stands for: of two that wait, the later one counts. */
  keyOf: (item: Item) => string;
  deliver: (items: readonly Item[]) => Promise<void>;
  onError: (error: unknown) => void;
}

/** Collects items and delivers them together: the first at once, the others at most 100 ms later, one delivery at a time. */
export class Batch<Item> {
  readonly #options: BatchOptions<Item>;
  readonly #waiting = new Map<string, Item>();
  /** What is being delivered, as far as it is to be tried again. */
  readonly #underWay = new Map<string, Item>();
  #delivering: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #notBefore = Number.NEGATIVE_INFINITY;

  constructor(options: BatchOptions<Item>) {
    this.#options = options;
  }

  add(item: Item): void {
    this.#waiting.set(this.#options.keyOf(item), item);
    this.#arm();
  }

  /** Drops what waits under a key; what is being delivered is not tried again. */
  drop(key: string): void {
    this.#waiting.delete(key);
    this.#underWay.delete(key);
  }

  /** Delivers what waits, once; what cannot be delivered now is lost. */
  async close(): Promise<void> {
    await this.#delivering;
    this.#notBefore = Number.POSITIVE_INFINITY;
    this.#cancelTimer?.();
    await this.#deliver();
    this.#cancelTimer?.();
  }

  #arm(): void {
    if (this.#cancelTimer || this.#delivering) return;
    const { clock } = this.#options;
    const waitMs = Math.max(0, this.#notBefore - clock.elapsed());
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = clock.after(waitMs, () => {
      this.#delivering = this.#deliver().finally(() => {
        this.#delivering = undefined;
        if (this.#waiting.size > 0) this.#arm();
      });
    });
  }

  async #deliver(): Promise<void> {
    this.#cancelTimer = undefined;
    if (this.#waiting.size === 0) return;
    const { clock, deliver, onError } = this.#options;
    for (const [key, item] of this.#waiting) this.#underWay.set(key, item);
    this.#waiting.clear();
    this.#notBefore = Math.max(this.#notBefore, clock.elapsed() + BATCH_MS);
    try {
      await deliver([...this.#underWay.values()]);
    } catch (error) {
      onError(error);
      this.#notBefore = Math.max(this.#notBefore, clock.elapsed() + RETRY_MS);
      for (const [key, item] of this.#underWay) if (!this.#waiting.has(key)) this.#waiting.set(key, item);
    }
    this.#underWay.clear();
  }
}
