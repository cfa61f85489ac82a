import type { CallerIdentity } from '../domain/access/caller.ts';
import { callerKey } from './caller-key.ts';

/** Maximum bytes per caller at a time: request bodies, computed responses, and responses that are not sent yet. */
export const MAX_HELD = 64 * 1024 * 1024;
/** Bodies and responses up to this many bytes are not counted: the number of connections limits them. */
export const MAX_UNCOUNTED = 16 * 1024;

interface Account {
  held: number;
  holdings: number;
  /** How many holdings share each buffer. Its bytes count once. */
  readonly shared: Map<Uint8Array, number>;
}

/** Counts the bytes that each caller holds in memory, and rejects growth beyond the limit. */
export class MemoryBudget {
  readonly #perCaller: number;
  readonly #accounts = new Map<string, Account>();

  constructor({ perCaller = MAX_HELD }: { perCaller?: number } = {}) {
    this.#perCaller = perCaller;
  }

  /** Opens a holding for one request. Release it when the request no longer occupies memory. */
  open(caller: CallerIdentity): MemoryHolding {
    const key = callerKey(caller);
    const account = this.#accounts.get(key) ?? { held: 0, holdings: 0, shared: new Map() };
    this.#accounts.set(key, account);
    account.holdings++;
    return new MemoryHolding(account, this.#perCaller, () => {
      if (--account.holdings === 0) this.#accounts.delete(key);
    });
  }

  /** The bytes that all callers hold together. */
  get held(): number {
    let sum = 0;
    for (const { held } of this.#accounts.values()) sum += held;
    return sum;
  }
}

/** The memory that one request holds, counted in its caller's account. */
export class MemoryHolding {
  readonly #account: Account;
  readonly #limit: number;
  readonly #close: () => void;
  #bytes = 0;
  #buffer: Uint8Array | undefined;
  #isReleased = false;

  constructor(account: Account, limit: number, close: () => void) {
    this.#account = account;
    this.#limit = limit;
    this.#close = close;
  }

  /**
   * Counts more bytes. Returns false, and counts nothing, if they exceed the caller's limit or the holding is released.
   */
  grow(bytes: number): boolean {
    if (this.#isReleased || this.#account.held + bytes > this.#limit) return false;
    this.#account.held += bytes;
    this.#bytes += bytes;
    return true;
  }

  /** Uncounts bytes that `grow` counted. */
  shrink(bytes: number): void {
    const freed = Math.min(bytes, this.#bytes);
    this.#account.held -= freed;
    this.#bytes -= freed;
  }

  /**
   * Releases everything that this request holds and counts its response instead. A buffer that several requests of a
   * caller send, such as a cached response, counts once. Returns false, and counts nothing, if it exceeds the limit.
   */
  holdResponse(response: Uint8Array): boolean {
    this.#drop();
    if (this.#isReleased) return false;
    const { shared } = this.#account;
    const sharers = shared.get(response) ?? 0;
    if (sharers === 0 && this.#account.held + response.length > this.#limit) return false;
    if (sharers === 0) this.#account.held += response.length;
    shared.set(response, sharers + 1);
    this.#buffer = response;
    return true;
  }

  /** Releases everything. Later calls have no effect. */
  release(): void {
    if (this.#isReleased) return;
    this.#drop();
    this.#isReleased = true;
    this.#close();
  }

  #drop(): void {
    this.shrink(this.#bytes);
    const response = this.#buffer;
    if (!response) return;
    this.#buffer = undefined;
    const { shared } = this.#account;
    const sharers = shared.get(response) ?? 0;
    if (sharers > 1) shared.set(response, sharers - 1);
    else {
      shared.delete(response);
      this.#account.held -= response.length;
    }
  }
}
