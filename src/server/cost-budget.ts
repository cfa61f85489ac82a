import type { Caller } from '../domain/access/viewer.ts';
import { callerKey } from './caller-key.ts';

const MINUTE_MS = 60_000;
/** Callers that are told apart in one minute; a stranger who has more addresses than that gains no memory of ours. */
const MAX_CALLERS = 100_000;

interface CostBudgetOptions {
  readonly perMinute: number;
  readonly now?: () => number;
  readonly onTake?: (cost: number) => void;
}

/** What the documents of each caller may cost in a minute. */
export class CostBudget {
  readonly #perMinute: number;
  readonly #now: () => number;
  readonly #onTake: (cost: number) => void;
  #minute = 0;
  #spent = new Map<string, number>();

  /** A `perMinute` of 0 is no limit. `onTake` is called with each cost that is charged, also without a limit. */
  constructor({ perMinute, now = Date.now, onTake = () => {} }: CostBudgetOptions) {
    this.#perMinute = perMinute;
    this.#now = now;
    this.#onTake = onTake;
  }

  /** Takes the cost from the caller's budget; where it does not last, takes nothing and tells the seconds until it is full again. */
  take(caller: Caller, cost: number): number | undefined {
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
    const who = callerKey(caller);
    const spent = (this.#spent.get(who) ?? 0) + cost;
    if (spent > this.#perMinute) return Math.ceil(((minute + 1) * MINUTE_MS - now) / 1000);
    if (this.#spent.size < MAX_CALLERS || this.#spent.has(who)) this.#spent.set(who, spent);
    this.#onTake(cost);
    return undefined;
  }
}
