import { hash } from 'node:crypto';
import type { ReadList } from '../rest/lists.ts';
import type { Counters } from '../storage/database.ts';

/** An answer as it goes out: its bytes, and the headers that describe them, names and values in turn. */
export interface CachedResponse {
  readonly status: number;
  readonly headers: readonly string[];
  readonly bytes: Buffer;
  /** What the metrics count it as. */
  readonly operation?: string | undefined;
  /** What it takes from its caller's budget, each time. */
  readonly cost?: number | undefined;
  /** Only of an answer that may be kept: a hash of the bytes. */
  readonly etag?: string;
  /** Only of a list that is too large to be kept: `bytes` are empty, and the list is sent while it is read. */
  readonly list?: LargeList;
}

/** What has been read of a list by the request that computed the answer; others read it themselves. */
export interface LargeList extends ReadList {
  readonly requestId: string;
}

/** A computed answer, and whether it is a pure function of the counters and the question. */
export interface ComputedResponse {
  readonly answer: CachedResponse;
  readonly keep: boolean;
}

/** Bytes of all answers that are kept, and of the largest list that is sent whole. */
export const MAX_BYTES = 16 * 1024 * 1024;
/** Questions that are known to be reads; a hash each. */
const MAX_KNOWN = 10_000;
/** Characters of a question whose answer is kept: one with values in it does not come again. */
export const MAX_QUESTION = 16 * 1024;

/**
 * Answers that are kept for as long as the three counters stand. The question holds everything else that an answer
 * depends on: who asks, and every byte of what is asked. Once a question is known to be a read, equal ones that miss
 * share one computation, and its answer is kept: what is asked only once would push out what is asked again.
 */
export class ResponseCache {
  #counters: Counters = { registry: -1, status: -1, access: -1 };
  #bytes = 0;
  /** By question, in the order of their last use. */
  readonly #kept = new Map<string, CachedResponse>();
  /** The question that stands last in it. */
  #last = '';
  readonly #computing = new Map<string, Promise<CachedResponse>>();
  /** Hashes of the questions that were reads, in the order of their last computation. */
  readonly #known = new Set<string>();

  /** The kept answer of this question under these counters. */
  find(counters: Counters, question: string): CachedResponse | undefined {
    if (!this.#turnTo(counters)) return undefined;
    const answer = this.#kept.get(question);
    if (answer && question !== this.#last) this.#touch(question, answer);
    return answer;
  }

  /** Computes the answer, or joins an equal computation that began under the same counters, and keeps what may be kept. */
  async compute(
    counters: Counters,
    question: string,
    compute: () => Promise<ComputedResponse>,
  ): Promise<CachedResponse> {
    if (question.length > MAX_QUESTION) return (await compute()).answer;
    const hashed = hashOf(question);
    const isKnown = this.#known.has(hashed);
    if (!isKnown || !this.#turnTo(counters)) return this.#settle(counters, { question, hashed }, compute());
    let computing = this.#computing.get(question);
    if (!computing) {
      computing = this.#settle(counters, { question, hashed }, compute());
      this.#computing.set(question, computing);
      const forget = () => {
        if (this.#computing.get(question) === computing) this.#computing.delete(question);
      };
      computing.then(forget, forget);
    }
    return computing;
  }

  async #settle(
    counters: Counters,
    { question, hashed }: { question: string; hashed: string },
    computing: Promise<ComputedResponse>,
  ): Promise<CachedResponse> {
    const { answer, keep } = await computing;
    if (!keep) return answer;
    const computed = { ...answer, etag: `"${hashOf(answer.bytes)}"` };
    if (this.#isKnown(hashed) && this.#turnTo(counters)) this.#keep(question, computed);
    return computed;
  }

  /** Whether this question was a read before; from now on it was. */
  #isKnown(hashed: string): boolean {
    const isKnown = this.#known.delete(hashed);
    this.#known.add(hashed);
    if (this.#known.size > MAX_KNOWN) this.#known.delete(first(this.#known));
    return isKnown;
  }

  #touch(question: string, answer: CachedResponse): void {
    this.#last = question;
    this.#kept.delete(question);
    this.#kept.set(question, answer);
  }

  #keep(question: string, answer: CachedResponse): void {
    if (this.#kept.has(question)) return;
    this.#kept.set(question, answer);
    this.#last = question;
    this.#bytes += sizeOf(question, answer);
    while (this.#bytes > MAX_BYTES) {
      const oldest = first(this.#kept.keys());
      this.#bytes -= sizeOf(oldest, this.#kept.get(oldest));
      this.#kept.delete(oldest);
    }
  }

  /** Forgets everything when the counters have moved on; false for counters that are older than what is kept. */
  #turnTo(counters: Counters): boolean {
    const { registry, status, access } = this.#counters;
    if (counters.registry === registry && counters.status === status && counters.access === access) return true;
    if (counters.registry < registry || counters.status < status || counters.access < access) return false;
    this.#counters = counters;
    this.#kept.clear();
    this.#computing.clear();
    this.#bytes = 0;
    return true;
  }
}

function first(keys: Iterable<string>): string {
  for (const key of keys) return key;
  return '';
}

function sizeOf(question: string, answer: CachedResponse | undefined): number {
  return question.length * 2 + (answer?.bytes.length ?? 0);
}

function hashOf(value: string | Buffer): string {
  return hash('sha256', value, 'base64url');
}
