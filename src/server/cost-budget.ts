import type { CallerIdentity } from '../domain/access/caller.ts';
import { callerKey } from './caller-key.ts';

const MINUTE_MS = 60_000;
/**
 * Maximum callers counted per minute, so that an attacker with many addresses cannot exhaust our memory. Further
 * callers are not counted.
 */
const MAX_CALLERS = 100_000;

interface CostBudgetOptions {
  readonly perMinute: number;
  readonly now?: () => number;
  readonly onTake?: (cost: number) => void;
}

/** Limits the cost of each caller's GraphQL documents and request bodies per minute. */
export class CostBudget {
  readonly #perMinute: number;
  readonly #now: () => number;
  readonly #onTake: (cost: number) => void;
  #minute = 0;
  #spent = new Map<string, number>();

  /** A `perMinute` of 0 means no limit. `onTake` is called for each charged cost, with or without a limit. */
  constructor({ perMinute, now = Date.now, onTake = () => {} }: CostBudgetOptions) {
    this.#perMinute = perMinute;
    this.#now = now;
    this.#onTake = onTake;
  }

  /**
   * Charges the cost to the caller. If the budget is too small, charges nothing and returns the seconds until the next
   * minute.
   */
  take(caller: CallerIdentity, cost: number): number | undefined {
    if (this.#perMinute === 0) {
      this.#onTake(cost);
      return undefined;
    }
    const now = this.#now();
    const minute = Math.floor(now / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#spent = new Map();
    }
    const key = callerKey(caller);
    const spent = (this.#spent.get(key) ?? 0) + cost;
    if (spent > this.#perMinute) return Math.ceil(((minute + 1) * MINUTE_MS - now) / 1000);
    if (this.#spent.size < MAX_CALLERS || this.#spent.has(key)) this.#spent.set(key, spent);
    this.#onTake(cost);
    return undefined;
  }
}
