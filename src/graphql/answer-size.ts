import { GraphQLError } from 'graphql';
import { OVER_MEMORY } from '../http-error.ts';
import type { Context } from './context.ts';
import { chargeOrThrow } from './cost.ts';
import { rateLimited } from './running-work.ts';

const MIB = 1024 * 1024;
/** Bytes of one answer, as JSON: a page of 100 clusters whole has 0.1 MiB, 1 MiB of descriptions at most included. */
const MAX_ANSWER = 16 * MIB;
/** What each further MiB of an answer costs, the first being part of the document's own cost: writing one takes 5 ms. */
const MIB_COST = 10_000;
/** Characters of a string that is measured each time it is answered; longer ones are remembered with their size. */
const SHORT = 256;

// Text that JSON writes as it is, one byte for each character.
const PLAIN = /^[ !#-[\]-~]*$/;
const sizes = new WeakMap<object, number>();
// GraphQL.js takes an error with a path as it is, which costs nothing for the fields that are still to come.
const STOPPED = new GraphQLError('The answer is dropped', { path: [] });

/** Counts memory for the caller of an answer: `grow` is false, and counts nothing, where the caller holds too much. */
export interface CallerMemory {
  grow(bytes: number): boolean;
  shrink(bytes: number): void;
}

/**
 * Counts the bytes of one answer while its values are completed, charges them, and stops the execution beyond 16 MiB,
 * before the answer is written.
 */
export class AnswerSize {
  readonly #charge: Context['charge'];
  readonly #memory: CallerMemory;
  readonly #stop = new AbortController();
  /** By long string: the same description may be answered under many aliases. */
  readonly #longTexts = new Map<string, number>();
  #bytes = 0;
  #checkAt = MIB;
  #held = 0;
  #error: GraphQLError | undefined;
  /** What the bytes have cost so far. */
  cost = 0;

  constructor({ charge, memory }: { charge: Context['charge']; memory: CallerMemory }) {
    this.#charge = charge;
    this.#memory = memory;
  }

  /** Aborted when the answer is too large. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Why the answer is dropped: it is too large, or its caller's budget does not last. */
  get error(): GraphQLError | undefined {
    return this.#error;
  }

  /** Adds bytes; beyond the limit it throws, for every field that is still to come. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#checkAt) this.#check();
  }

  addText(text: string): void {
    if (text.length > SHORT) this.add(this.#sizeOfLong(text));
    else this.add(PLAIN.test(text) ? text.length : sizeOf(text));
  }

  /** Adds a value that is written as JSON; an object is measured once, however often it is answered. */
  addJson(value: unknown): void {
    if (typeof value === 'object' && value !== null) this.add(sizeOfObject(value));
    else this.addText(String(value));
  }

  /** Begins again: each event of a stream is an answer. */
  renew(): void {
    this.#bytes = 0;
    this.#checkAt = MIB;
    this.#error = undefined;
    this.#memory.shrink(this.#held);
    this.#held = 0;
    this.#longTexts.clear();
  }

  #check(): void {
    try {
      if (this.#error) throw this.#error;
      if (this.#bytes > MAX_ANSWER) throw tooLarge();
      const mib = Math.ceil((this.#bytes - this.#checkAt) / MIB);
      chargeOrThrow(this.#charge, mib * MIB_COST);
      this.cost += mib * MIB_COST;
      if (!this.#memory.grow(mib * MIB)) throw rateLimited(OVER_MEMORY, 1);
      this.#held += mib * MIB;
      this.#checkAt += mib * MIB;
    } catch (error) {
      this.#error = error as GraphQLError;
      this.#stop.abort(error);
      throw STOPPED;
    }
  }

  #sizeOfLong(text: string): number {
    let size = this.#longTexts.get(text);
    if (size === undefined) {
      size = sizeOf(text);
      this.#longTexts.set(text, size);
    }
    return size;
  }
}

function tooLarge(): GraphQLError {
  return new GraphQLError(
    `The answer is larger than ${MAX_ANSWER / MIB} MiB: ask for fewer fields, for each field once, or for smaller pages`,
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
