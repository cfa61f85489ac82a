import type { Call } from './call.ts';
import { connectionResetError } from './connector.ts';
import { ResponseCollector } from './response-collector.ts';

/**
 * Default maximum bytes of a response body: enough for a page of 250 objects
 * of 64 KiB each, which real pages rarely reach.
 */
const MAX_RESPONSE_BYTES = 16 * 1024 * 1024;

/** The attempts of one call, of which at most one runs at a time. */
export class Attempts {
  readonly #server: string;
  readonly #call: Call;
  #collector: ResponseCollector | undefined;
  #error: Error | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(server: string, call: Call) {
    this.#server = server;
    this.#call = call;
  }

  /** Whether no further attempt may follow: the call was stopped, or a response has begun. */
  get isOver(): boolean {
    return this.#error !== undefined || this.#collector?.hasBegun === true;
  }

  /** Begins an attempt, which fails with ECONNRESET if no byte arrives within `firstByteMs`. */
  begin(firstByteMs?: number): ResponseCollector {
    clearTimeout(this.#timer);
    const { maxBytes = MAX_RESPONSE_BYTES, memory } = this.#call;
    const collector = new ResponseCollector({ server: this.#server, maxBytes, memory });
    this.#collector = collector;
    if (this.#error) collector.stop(this.#error);
    if (firstByteMs !== undefined) {
      const giveUp = () => collector.hasBegun || collector.stop(connectionResetError());
      this.#timer = setTimeout(giveUp, firstByteMs);
      collector.response.catch(() => {}).finally(() => clearTimeout(this.#timer));
    }
    return collector;
  }

  /** Ends the call with an error. */
  stop(error: Error): void {
    clearTimeout(this.#timer);
    this.#error ??= error;
    this.#collector?.stop(error);
  }
}
