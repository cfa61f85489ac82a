import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Counters } from '../storage/database.ts';

/**
 * A response as it is sent: its status, its body, and the headers that describe the body, as alternating names and
 * values.
 */
export interface CachedResponse {
  readonly status: number;
  readonly headers: readonly string[];
  readonly bytes: Buffer;
  /** The `operation` label in the metrics. */
  readonly operation?: string | undefined;
  /** The cost that is charged to the caller each time the response is sent. */
  readonly cost?: number | undefined;
  /** A hash of the bytes; only present if the response is cacheable. */
  readonly etag?: string;
}

/** A computed response. `isCacheable`: whether it only depends on the counters and the cache key, and so may be cached. */
export interface ComputedResponse {
  readonly response: CachedResponse;
  readonly isCacheable: boolean;
}

/** Maximum bytes of the whole cache, and of a REST response that is not streamed. */
export const MAX_BYTES = 16 * 1024 * 1024;
/** Maximum keys that are remembered as cacheable; each takes the space of a hash. */
const MAX_KNOWN_KEYS = 10_000;
/** Maximum length of a key. Responses to longer requests are not cached: they contain values, and so hardly repeat. */
export const MAX_KEY_LENGTH = 16 * 1024;

/**
 * Caches responses until one of the three counters changes. The key contains everything else that a response depends
 * on: the caller and the whole request. A response is cached when its key is computed for the second time, so that
 * requests that are never repeated do not evict others. From then on, concurrent equal requests share one computation.
 */
export class ResponseCache {
  #counters: Counters = { registry: -1, status: -1, access: -1 };
  readonly #entries = new LRUCache<string, CachedResponse>({
    maxSize: MAX_BYTES,
    sizeCalculation: (response, key) => key.length * 2 + response.bytes.length,
  });
  readonly #computing = new Map<string, Promise<CachedResponse>>();
  /** Hashes of keys that produced a cacheable response; the least recently computed one is dropped first. */
  readonly #known = new LRUCache<string, true>({ max: MAX_KNOWN_KEYS });

  /** Finds the cached response for this key under these counters. */
  find(counters: Counters, key: string): CachedResponse | undefined {
    return this.#advanceTo(counters) ? this.#entries.get(key) : undefined;
  }

  /**
   * Computes a response, or joins an equal computation that began under the same counters. Caches the response if
   * possible.
   */
  async compute(counters: Counters, key: string, compute: () => Promise<ComputedResponse>): Promise<CachedResponse> {
    if (key.length > MAX_KEY_LENGTH) return (await compute()).response;
    const keyHash = hashOf(key);
    const isKnown = this.#known.has(keyHash);
    if (!isKnown || !this.#advanceTo(counters)) return this.#storeWhenComputed(counters, { key, keyHash }, compute());
    let computing = this.#computing.get(key);
    if (!computing) {
      computing = this.#storeWhenComputed(counters, { key, keyHash }, compute());
      this.#computing.set(key, computing);
      const forget = () => {
        if (this.#computing.get(key) === computing) this.#computing.delete(key);
      };
      computing.then(forget, forget);
    }
    return computing;
  }

  async #storeWhenComputed(
    counters: Counters,
    { key, keyHash }: { key: string; keyHash: string },
    computing: Promise<ComputedResponse>,
  ): Promise<CachedResponse> {
    const { response, isCacheable } = await computing;
    if (!isCacheable) return response;
    const computed = { ...response, etag: `"${hashOf(response.bytes)}"` };
    const isRepeated = this.#known.has(keyHash);
    this.#known.set(keyHash, true);
    if (isRepeated && this.#advanceTo(counters) && !this.#entries.has(key)) this.#entries.set(key, computed);
    return computed;
  }

  /** Clears the cache if the counters are newer than its own. Returns false if they are older. */
  #advanceTo(counters: Counters): boolean {
    const { registry, status, access } = this.#counters;
    if (counters.registry === registry && counters.status === status && counters.access === access) return true;
    if (counters.registry < registry || counters.status < status || counters.access < access) return false;
    this.#counters = counters;
    this.#entries.clear();
    this.#computing.clear();
    return true;
  }
}

function hashOf(value: string | Buffer): string {
  return hash('sha256', value, 'base64url');
}
