import type { Clock } from '../prober/clock.ts';

/** Minimum milliseconds between deliveries (docs/architecture.md). */
const BATCH_MS = 100;
/** Milliseconds until a failed delivery is retried. */
const RETRY_MS = 1_000;

export interface BatchOptions<Item> {
  clock: Clock;
  /** Returns the key of an item. A new item replaces a waiting item with the same key. */
  keyOf: (item: Item) => string;
  deliver: (items: readonly Item[]) => Promise<void>;
  onError: (error: unknown) => void;
}

/**
 * Collects items and delivers them in batches: the first item immediately,
 * later items within 100 ms. Deliveries never overlap.
 */
export class Batch<Item> {
  readonly #options: BatchOptions<Item>;
  readonly #waiting = new Map<string, Item>();
  /** Items that are being delivered and will be retried if the delivery fails. */
  readonly #inDelivery = new Map<string, Item>();
  #delivering: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #notBefore = Number.NEGATIVE_INFINITY;

  constructor(options: BatchOptions<Item>) {
    this.#options = options;
  }

  add(item: Item): void {
    this.#waiting.set(this.#options.keyOf(item), item);
    this.#scheduleDelivery();
  }

  /** Discards the waiting item with this key. If the item is being delivered, it is not retried. */
  drop(key: string): void {
    this.#waiting.delete(key);
    this.#inDelivery.delete(key);
  }

  /** Delivers the waiting items once, without a retry: items that cannot be delivered are lost. */
  async close(): Promise<void> {
    await this.#delivering;
    this.#notBefore = Number.POSITIVE_INFINITY;
    this.#cancelTimer?.();
    await this.#deliver();
    this.#cancelTimer?.();
  }

  #scheduleDelivery(): void {
    if (this.#cancelTimer || this.#delivering) return;
    const { clock } = this.#options;
    const waitMs = Math.max(0, this.#notBefore - clock.elapsed());
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = clock.after(waitMs, () => {
      this.#delivering = this.#deliver().finally(() => {
        this.#delivering = undefined;
        if (this.#waiting.size > 0) this.#scheduleDelivery();
      });
    });
  }

  async #deliver(): Promise<void> {
    this.#cancelTimer = undefined;
    if (this.#waiting.size === 0) return;
    const { clock, deliver, onError } = this.#options;
    for (const [key, item] of this.#waiting) this.#inDelivery.set(key, item);
    this.#waiting.clear();
    this.#notBefore = Math.max(this.#notBefore, clock.elapsed() + BATCH_MS);
    try {
      await deliver([...this.#inDelivery.values()]);
    } catch (error) {
      onError(error);
      this.#notBefore = Math.max(this.#notBefore, clock.elapsed() + RETRY_MS);
      for (const [key, item] of this.#inDelivery) if (!this.#waiting.has(key)) this.#waiting.set(key, item);
    }
    this.#inDelivery.clear();
  }
}
