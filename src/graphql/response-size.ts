import { GraphQLError } from 'graphql';
import { MEMORY_BUDGET_EXCEEDED } from '../http-error.ts';
import { type Charge, chargeOrThrow, rateLimited } from './charge.ts';

const MIB = 1024 * 1024;
/**
 * Maximum size of one response as JSON, in bytes. A page of 100 complete clusters has 0.1 MiB, with descriptions of the
 * maximum length 1 MiB more.
 */
const MAX_RESPONSE = 16 * MIB;
/** Cost of each MiB of a response after the first, which the document's own cost includes. Writing 1 MiB takes 5 ms. */
const MIB_COST = 10_000;
/** Strings up to this length, in characters, are measured each time they occur; the size of longer ones is cached. */
const MAX_SHORT_TEXT = 256;

// Matches text that JSON writes without escapes, with one byte per character.
const PLAIN = /^[ !#-[\]-~]*$/;
const sizes = new WeakMap<object, number>();
// GraphQL.js rethrows an error that has a path without wrapping it, so throwing this for every remaining field is
// cheap.
const RESPONSE_DROPPED = new GraphQLError('The response is dropped', { path: [] });

/**
 * Counts the memory of one caller's responses, in bytes. `grow` returns false and counts nothing if the caller would
 * exceed their limit.
 */
export interface CallerMemory {
  grow(bytes: number): boolean;
  shrink(bytes: number): void;
}

/**
 * Counts the bytes of one response while GraphQL.js completes its values, and charges the caller for them. Stops the
 * execution as soon as the response exceeds 16 MiB, before it is serialized.
 */
export class ResponseSize {
  readonly #charge: Charge;
  readonly #memory: CallerMemory;
  readonly #stop = new AbortController();
  /** Sizes in bytes of long strings: the response may repeat a description under many aliases. */
  readonly #longTexts = new Map<string, number>();
  #bytes = 0;
  #checkAt = MIB;
  #reservedBytes = 0;
  #error: GraphQLError | undefined;
  /** The cost charged for this response so far. */
  cost = 0;

  constructor({ charge, memory }: { charge: Charge; memory: CallerMemory }) {
    this.#charge = charge;
    this.#memory = memory;
  }

  /** Aborted when the response must be dropped; see `error`. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /**
   * Why the response is dropped: it is too large, or the caller's budget or memory is exhausted. Undefined if it is
   * not.
   */
  get error(): GraphQLError | undefined {
    return this.#error;
  }

  /** Adds bytes. Once the limit is exceeded, every call throws, so that each remaining field fails. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#checkAt) this.#check();
  }

  addText(text: string): void {
    if (text.length > MAX_SHORT_TEXT) this.add(this.#sizeOfLongText(text));
    else this.add(PLAIN.test(text) ? text.length : sizeOf(text));
  }

  /** Adds a value of the scalar JSON. Each object is measured only once, even if the response repeats it. */
  addJson(value: unknown): void {
    if (typeof value === 'object' && value !== null) this.add(sizeOfObject(value));
    else this.addText(String(value));
  }

  /** Resets the counts: each event of a stream is a response of its own. */
  renew(): void {
    this.#bytes = 0;
    this.#checkAt = MIB;
    this.#error = undefined;
    this.#memory.shrink(this.#reservedBytes);
    this.#reservedBytes = 0;
    this.#longTexts.clear();
  }

  #check(): void {
    try {
      if (this.#error) throw this.#error;
      if (this.#bytes > MAX_RESPONSE) throw responseTooLargeError();
      const mib = Math.ceil((this.#bytes - this.#checkAt) / MIB);
      chargeOrThrow(this.#charge, mib * MIB_COST);
      this.cost += mib * MIB_COST;
      if (!this.#memory.grow(mib * MIB)) throw rateLimited(MEMORY_BUDGET_EXCEEDED, 1);
      this.#reservedBytes += mib * MIB;
      this.#checkAt += mib * MIB;
    } catch (error) {
      this.#error = error as GraphQLError;
      this.#stop.abort(error);
      throw RESPONSE_DROPPED;
    }
  }

  #sizeOfLongText(text: string): number {
    let size = this.#longTexts.get(text);
    if (size === undefined) {
      size = sizeOf(text);
      this.#longTexts.set(text, size);
    }
    return size;
  }
}

function responseTooLargeError(): GraphQLError {
  return new GraphQLError(
    `The response is larger than ${MAX_RESPONSE / MIB} MiB: request fewer fields, each field once, or smaller pages`,
    { extensions: { code: 'TOO_LARGE' } },
  );
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

function sizeOfObject(value: object): number {
  let size = sizes.get(value);
  if (size === undefined) {
    size = sizeOf(value);
    sizes.set(value, size);
  }
  return size;
}
