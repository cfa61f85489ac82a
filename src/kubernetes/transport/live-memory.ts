import { ClusterError, ResourceError } from '../cluster-error.ts';

/** Bytes that all live reads together may use: a quarter of the memory of a small machine. */
const MAX_BYTES = 256 * 1024 * 1024;

/**
 * Limits the memory of all live reads: received bytes, and the parsed objects until the GraphQL response is computed.
 */
export class LiveMemory {
  readonly #limit: number;
  #held = 0;

  constructor(limit = MAX_BYTES) {
    this.#limit = limit;
  }

  /** Bytes in use. */
  get held(): number {
    return this.#held;
  }

  /** Starts the accounting for one GraphQL document. */
  hold(): MemoryHold {
    return new MemoryHold((bytes) => {
      if (bytes > 0 && this.#held + bytes > this.#limit)
        throw new ResourceError(`live reads have reached their memory limit of ${this.#limit / 1024 / 1024} MiB`);
      this.#held += bytes;
    });
  }
}

/** The live-read memory that one GraphQL document uses. */
export class MemoryHold {
  readonly #change: (bytes: number) => void;
  #held = 0;
  #isReleased = false;

  constructor(change: (bytes: number) => void) {
    this.#change = change;
  }

  /**
   * Reserves bytes before they are allocated. Throws a ResourceError if the
   * limit is exceeded, and CANCELLED after `release`.
   */
  take(bytes: number): void {
    if (this.#isReleased) throw new ClusterError('CANCELLED', 'the request that the cluster was called for has ended');
    this.#change(bytes);
    this.#held += bytes;
  }

  /** Returns bytes that are no longer used. */
  giveBack(bytes: number): void {
    if (this.#isReleased) return;
    this.#change(-bytes);
    this.#held -= bytes;
  }

  /** Returns all bytes; later calls of `take` throw. */
  release(): void {
    this.giveBack(this.#held);
    this.#isReleased = true;
  }
}
