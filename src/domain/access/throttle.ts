import { DomainError } from '../errors.ts';
import { ConcurrencyCounter } from './concurrency-counter.ts';
import { networkOf } from './network.ts';
import type { Caller } from './viewer.ts';

export interface ThrottleLimits {
  /** Runs that may be under way at once: of one network, and of all. */
  readonly atOnce: { readonly network: number; readonly all: number };
  /** Runs that one network may begin in a minute; any number when absent. */
  readonly perMinute?: number;
}

const MINUTE_MS = 60_000;
/** Networks that are counted in one minute: an attacker with more gains no memory, and `atOnce.all` still holds. */
const MAX_NETWORKS = 100_000;

/** Lets few runs be under way at once in this process, and few begin in a minute: refused before any work. By the monotonic clock. */
export class Throttle {
  readonly #limits: ThrottleLimits;
  readonly #underWay = new ConcurrencyCounter();
  #all = 0;
  #minute = { since: 0, begun: new Map<string, number>() };

  constructor(limits: ThrottleLimits) {
    this.#limits = limits;
  }

  /** Runs it, or refuses: TOO_MANY_ATTEMPTS with the seconds to wait. */
  async run<T>({ address }: Pick<Caller, 'address'>, work: () => Promise<T>): Promise<T> {
    const network = address === undefined ? '' : networkOf(address);
    const { atOnce } = this.#limits;
    if (this.#underWay.of(network) >= atOnce.network || this.#all >= atOnce.all) throw tooMany(1);
    this.#count(network);
    const end = this.#underWay.begin(network);
    this.#all++;
    try {
      return await work();
    } finally {
      this.#all--;
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

/** The refusal of what is tried too often, with the seconds to wait. */
export function tooMany(
  retryAfterSeconds: number,
  message = 'too many sign-ins at once: try again later',
): DomainError {
  return new DomainError('TOO_MANY_ATTEMPTS', message, { retryAfterSeconds });
}

/** Whether a throttle refused it, so that nothing was done. */
export function isThrottled(error: unknown): error is DomainError {
  return error instanceof DomainError && error.code === 'TOO_MANY_ATTEMPTS';
}
