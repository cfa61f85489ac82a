import { ClusterError, ResourceError } from './cluster-error.ts';

/** Bytes that all live reads together may hold: a quarter of the memory of a small machine. */
const MAX_BYTES = 256 * 1024 * 1024;

/** The account of what all live reads hold: bytes received, and the objects made of them until their answer is computed. */
export class LiveMemory {
  readonly #limit: number;
  #held = 0;

  constructor(limit = MAX_BYTES) {
    this.#limit = limit;
  }

  /** Bytes held now. */
  get held(): number {
    return this.#held;
  }

  /** Opens the part of the account that one document uses. */
  hold(): MemoryHold {
    return new MemoryHold((bytes) => {
      if (bytes > 0 && this.#held + bytes > this.#limit)
        throw new ResourceError(
          `live reads together may hold ${this.#limit / 1024 / 1024} MiB, and hold as much already`,
        );
      this.#held += bytes;
    });
  }
}

/** What one document holds of the account. */
export class MemoryHold {
  readonly #change: (bytes: number) => void;
  #held = 0;
  #isReleased = false;

  constructor(change: (bytes: number) => void) {
    this.#change = change;
  }

  /** Takes bytes before they are held; throws a ResourceError beyond the account, and CANCELLED after `release`. */
  take(bytes: number): void {
    if (this.#isReleased) throw new ClusterError('CANCELLED', 'the answer that the cluster was called for has ended');
    this.#change(bytes);
    this.#held += bytes;
  }

  /** Gives back bytes that are held no longer. */
  giveBack(bytes: number): void {
    if (this.#isReleased) return;
    this.#change(-bytes);
    this.#held -= bytes;
  }

  /** Gives back everything, for good. */
  release(): void {
    this.giveBack(this.#held);
    this.#isReleased = true;
  }
}
