import { type ClusterClient, limitCalls } from '../../kubernetes/call-slots.ts';
import { ClusterError, faultOf, ResourceError } from '../../kubernetes/cluster-error.ts';
import type { Connection } from '../../kubernetes/connection.ts';
import type { LiveMemory, MemoryHold } from '../../kubernetes/live-memory.ts';
import {
  MAX_OBJECTS,
  type NamespaceSummary,
  type NodeSummary,
  type ReadinessCheck,
  type ResourcePage,
  type ResourceQuery,
  readNamespaces,
  readNodes,
  readReadiness,
  readResources,
  readVersion,
} from '../../kubernetes/objects.ts';
import { invalidInput } from '../errors.ts';
import { MAX_SELECTOR } from './label-selector.ts';

/** Milliseconds that the live reads of one document may take in all. */
export const LIVE_MS = 8_000;
/** Calls to clusters that one document may make. */
const MAX_CALLS = 100;

/** What one document may still ask of clusters; the clock starts with its first call. */
export class LiveBudget {
  readonly #outer: AbortSignal;
  #signal: AbortSignal | undefined;
  #calls = 0;
  #memory: MemoryHold | undefined;

  constructor(outer: AbortSignal) {
    this.#outer = outer;
  }

  /** Takes one call; the signal ends it when the document's time is up. */
  take(): AbortSignal {
    if (++this.#calls > MAX_CALLS)
      throw new ClusterError('TOO_MANY_CALLS', `one document may make ${MAX_CALLS} calls to clusters: ask for fewer`);
    this.#signal ??= AbortSignal.any([this.#outer, lateness()]);
    return this.#signal;
  }

  /** What the document holds of the memory for live reads. */
  memoryOf(account: LiveMemory): MemoryHold {
    this.#memory ??= account.hold();
    return this.#memory;
  }

  /** Gives back the memory: call it when the answer is computed. */
  release(): void {
    this.#memory?.release();
    this.#memory = undefined;
  }

  /** Begins anew: each event of a stream is a document of its own. */
  renew(): void {
    this.release();
    this.#calls = 0;
    this.#signal = undefined;
  }
}

function lateness(): AbortSignal {
  const late = new AbortController();
  const error = new ClusterError('TIMED_OUT', `the ${LIVE_MS / 1000} s that one document may ask clusters are over`);
  setTimeout(() => late.abort(error), LIVE_MS).unref();
  return late.signal;
}

/** Characters of what a read of objects is asked by: of names as Kubernetes has them, of the rest what a URL holds. */
const MAX_TEXTS = {
  ...{ apiVersion: 253, kind: 253, namespace: 253 },
  ...{ labelSelector: MAX_SELECTOR, fieldSelector: MAX_SELECTOR, after: MAX_SELECTOR },
} as const;

/** A part of a live answer that failed. */
export interface LiveFault {
  readonly path: readonly string[];
  readonly code: string;
  readonly message: string;
}

interface LiveOptions {
  readonly connect: () => Promise<Connection>;
  readonly budget: LiveBudget;
  readonly memory: LiveMemory;
  /** Called with a failure that says nothing of the cluster. */
  readonly onUnexpected: (error: unknown) => void;
}

/** Live reads of one cluster: each part stands or fails alone, and a failed one is null and among the faults. */
export class LiveReads {
  readonly #connect: () => Promise<Connection>;
  readonly #budget: LiveBudget;
  readonly #memory: MemoryHold;
  readonly #onUnexpected: (error: unknown) => void;
  readonly #parts: Promise<unknown>[] = [];
  readonly #faults: LiveFault[] = [];

  constructor({ connect, budget, memory, onUnexpected }: LiveOptions) {
    this.#connect = connect;
    this.#budget = budget;
    this.#memory = budget.memoryOf(memory);
    this.#onUnexpected = onUnexpected;
  }

  version(path: string): Promise<string | null> {
    return this.#part(path, readVersion);
  }

  readiness(path: string): Promise<ReadinessCheck[] | null> {
    return this.#part(path, readReadiness);
  }

  nodes(path: string): Promise<NodeSummary[] | null> {
    return this.#part(path, readNodes);
  }

  namespaces(path: string): Promise<NamespaceSummary[] | null> {
    return this.#part(path, readNamespaces);
  }

  resources(path: string, query: ResourceQuery): Promise<ResourcePage | null> {
    if (query.first < 1 || query.first > MAX_OBJECTS)
      throw invalidInput([{ path: ['first'], message: `must be 1 to ${MAX_OBJECTS}` }]);
    for (const [name, most] of Object.entries(MAX_TEXTS))
      if ((query[name as keyof typeof MAX_TEXTS]?.length ?? 0) > most)
        return this.#part(path, () => {
          const limit = most.toLocaleString('en');
          throw new ClusterError('INVALID_QUERY', `${name} must be at most ${limit} characters`);
        });
    return this.#part(path, (asker) => readResources(asker, query));
  }

  /** The faults of all parts that were asked for; waits for them. */
  async faults(): Promise<readonly LiveFault[]> {
    // The parts beside this one in the document begin in the same turn.
    await Promise.resolve();
    await Promise.all(this.#parts);
    return this.#faults;
  }

  #part<T>(path: string, ask: (asker: ClusterClient) => Promise<T>): Promise<T | null> {
    const part = this.#ask(ask).catch((error: unknown) => {
      if (!(error instanceof ClusterError) || error instanceof ResourceError) this.#onUnexpected(error);
      this.#faults.push({ path: [path], ...faultOf(error) });
      return null;
    });
    this.#parts.push(part);
    return part;
  }

  async #ask<T>(ask: (asker: ClusterClient) => Promise<T>): Promise<T> {
    const connection = await this.#connect();
    return ask(limitCalls(connection, () => ({ signal: this.#budget.take(), timeoutMs: LIVE_MS }), this.#memory));
  }
}
