import { networkOf } from '../../ip-address.ts';
import { DomainError } from '../errors.ts';
import type { Caller } from './caller.ts';
import { ConcurrencyCounter } from './concurrency-counter.ts';

export interface ThrottleLimits {
  /** Maximum number of concurrent runs: per network, and in total. */
  readonly atOnce: { readonly network: number; readonly all: number };
  /** Maximum number of runs that one network starts per minute; unlimited if absent. */
  readonly perMinute?: number;
}

const MINUTE_MS = 60_000;
/**
 * Maximum number of networks counted per minute. An attacker with more networks uses no more memory, and `atOnce.all`
 * still applies.
 */
const MAX_NETWORKS = 100_000;

/**
 * Limits concurrent runs and runs per minute in this process. Rejects before any work is done. Uses the monotonic
 * clock.
 */
export class Throttle {
  readonly #limits: ThrottleLimits;
  readonly #running = new ConcurrencyCounter();
  #total = 0;
  #minute = { since: 0, begun: new Map<string, number>() };

  constructor(limits: ThrottleLimits) {
    this.#limits = limits;
  }

  /** Runs the work, or throws TOO_MANY_ATTEMPTS with the seconds to wait. */
  async run<T>({ address }: Pick<Caller, 'address'>, work: () => Promise<T>): Promise<T> {
    const network = address === undefined ? '' : networkOf(address);
    const { atOnce } = this.#limits;
    if (this.#running.of(network) >= atOnce.network || this.#total >= atOnce.all) throw tooMany(1);
    this.#count(network);
    const end = this.#running.begin(network);
    this.#total++;
    try {
      return await work();
    } finally {
      this.#total--;
      end();
    }
  }

  #count(network: string): void {
    const { perMinute } = this.#limits;
    if (perMinute === undefined) return;
    const now = performance.now();
    if (now - this.#minute.since >= MINUTE_MS) this.#minute = { since: now, begun: new Map() };
    const { since, begun } = this.#minute;
    const count = begun.get(network) ?? 0;
    if (count >= perMinute) throw tooMany(Math.ceil((since + MINUTE_MS - now) / 1000));
    if (begun.size < MAX_NETWORKS || count > 0) begun.set(network, count + 1);
  }
}

/** The error for too many attempts, with the seconds to wait. */
export function tooMany(
  retryAfterSeconds: number,
  message = 'too many sign-ins at once: try again later',
): DomainError {
  return new DomainError('TOO_MANY_ATTEMPTS', message, { retryAfterSeconds });
}

/** Whether an error is a rejection by a throttle, which means that nothing was done. */
export function isThrottled(error: unknown): error is DomainError {
  return error instanceof DomainError && error.code === 'TOO_MANY_ATTEMPTS';
}
