import type { Caller } from '../domain/access/viewer.ts';
import { callerKey } from './caller-key.ts';

/** Bytes that one caller may hold at a time: request bodies, computed answers, and answers that are not sent yet. */
export const MAX_HELD = 64 * 1024 * 1024;
/** Bodies and answers up to this many bytes are not counted: the number of connections bounds them. */
export const MAX_UNCOUNTED = 16 * 1024;
interface Account {
  held: number;
  holdings: number;
  /** How many holdings share each buffer. The caller holds its bytes once. */
  readonly shared: Map<Uint8Array, number>;
}

/** Counts the bytes that each caller holds, and refuses growth beyond the limit. An account without a holding is dropped. */
export class MemoryBudget {
  readonly #perCaller: number;
  readonly #accounts = new Map<string, Account>();

  constructor({ perCaller = MAX_HELD }: { perCaller?: number } = {}) {
    this.#perCaller = perCaller;
  }

  /** Opens a holding for one request; it must be released exactly when nothing of the request is in memory any more. */
  open(caller: Pick<Caller, 'viewer' | 'address'>): MemoryHolding {
    const key = callerKey(caller);
    const account = this.#accounts.get(key) ?? { held: 0, holdings: 0, shared: new Map() };
    this.#accounts.set(key, account);
    account.holdings++;
    return new MemoryHolding(account, this.#perCaller, () => {
      if (--account.holdings === 0) this.#accounts.delete(key);
    });
  }

  /** The bytes that all callers hold. */
  get held(): number {
    let sum = 0;
    for (const { held } of this.#accounts.values()) sum += held;
    return sum;
  }
}

/** What one request holds of its caller's account. */
export class MemoryHolding {
  readonly #account: Account;
  readonly #limit: number;
  readonly #close: () => void;
  #own = 0;
  #buffer: Uint8Array | undefined;
  #isReleased = false;

  constructor(account: Account, limit: number, close: () => void) {
    this.#account = account;
    this.#limit = limit;
    this.#close = close;
  }

  /** Counts more bytes; false, and nothing counted, when the account does not allow them or the request is over. */
  grow(bytes: number): boolean {
    if (this.#isReleased || this.#account.held + bytes > this.#limit) return false;
    this.#account.held += bytes;
    this.#own += bytes;
    return true;
  }

  /** Gives back bytes that `grow` counted. */
  shrink(bytes: number): void {
    const freed = Math.min(bytes, this.#own);
    this.#account.held -= freed;
    this.#own -= freed;
  }

  /**
   * Replaces everything that this request holds by its answer. Requests of one caller that send the same buffer, such
   * as a cached response, hold its bytes once. False when the account does not allow it: nothing is held then.
   */
  holdAnswer(answer: Uint8Array): boolean {
    this.#drop();
    if (this.#isReleased) return false;
    const { shared } = this.#account;
    const sharers = shared.get(answer) ?? 0;
    if (sharers === 0 && this.#account.held + answer.length > this.#limit) return false;
    if (sharers === 0) this.#account.held += answer.length;
    shared.set(answer, sharers + 1);
    this.#buffer = answer;
    return true;
  }

  /** Gives back everything; later calls change nothing. */
  release(): void {
    if (this.#isReleased) return;
    this.#drop();
    this.#isReleased = true;
    this.#close();
  }

  #drop(): void {
    this.shrink(this.#own);
    const answer = this.#buffer;
    if (!answer) return;
    this.#buffer = undefined;
    const { shared } = this.#account;
    const sharers = shared.get(answer) ?? 0;
    if (sharers > 1) shared.set(answer, sharers - 1);
    else {
      shared.delete(answer);
      this.#account.held -= answer.length;
    }
  }
}
