import {
  MAX_OBJECTS,
  type NamespaceSummary,
  type NodeSummary,
  type OnCut,
  type ReadinessCheck,
  type ResourcePage,
  type ResourceQuery,
  readNamespaces,
  readNodes,
  readReadiness,
  readResources,
  readVersion,
} from '../../kubernetes/api/objects.ts';
import { ClusterError, faultOf, ResourceError } from '../../kubernetes/cluster-error.ts';
import { type ClusterClient, limitCalls } from '../../kubernetes/transport/call-slots.ts';
import type { Connection } from '../../kubernetes/transport/connection.ts';
import type { LiveMemory, MemoryHold } from '../../kubernetes/transport/live-memory.ts';
import { invalidInput } from '../errors.ts';
import { MAX_SELECTOR } from '../label-selector.ts';

/** Time limit in milliseconds for all live reads of one document together. */
const LIVE_MS = 8_000;
/** Most calls to clusters per document. */
const MAX_CALLS = 100;

/**
 * The remaining calls, time and memory that one document may use for live reads. The time starts with the first call.
 */
export class LiveBudget {
  readonly #requestSignal: AbortSignal;
  #signal: AbortSignal | undefined;
  #calls = 0;
  #memory: MemoryHold | undefined;

  constructor(requestSignal: AbortSignal) {
    this.#requestSignal = requestSignal;
  }

  /** Uses up one call. The returned signal aborts the call when the document's time is up. */
  take(): AbortSignal {
    if (++this.#calls > MAX_CALLS)
      throw new ClusterError(
        'TOO_MANY_CALLS',
        `one document may make ${MAX_CALLS} calls to clusters: select fewer live fields`,
      );
    this.#signal ??= AbortSignal.any([this.#requestSignal, timeLimit()]);
    return this.#signal;
  }

  /** The document's reservation of memory for live reads. */
  memoryOf(account: LiveMemory): MemoryHold {
    this.#memory ??= account.hold();
    return this.#memory;
  }

  /** Releases the memory: call it when the response is complete. */
  release(): void {
    this.#memory?.release();
    this.#memory = undefined;
  }

  /** Resets the budget for the next event of a subscription: each event counts as a document of its own. */
  renew(): void {
    this.release();
    this.#calls = 0;
    this.#signal = undefined;
  }
}

function timeLimit(): AbortSignal {
  const controller = new AbortController();
  const error = new ClusterError('TIMED_OUT', `the live reads of one document may take at most ${LIVE_MS / 1000} s`);
  setTimeout(() => controller.abort(error), LIVE_MS).unref();
  return controller.signal;
}

/**
 * Maximum lengths of a resource query's texts in characters: Kubernetes' limit for names, else what fits into a URL.
 */
const MAX_LENGTHS = {
  ...{ apiVersion: 253, kind: 253, namespace: 253 },
  ...{ labelSelector: MAX_SELECTOR, fieldSelector: MAX_SELECTOR, after: MAX_SELECTOR },
} as const;

/** A failed part of a live read. */
export interface LiveFault {
  readonly path: readonly string[];
  readonly code: string;
  readonly message: string;
}

interface LiveOptions {
  readonly connect: () => Promise<Connection>;
  readonly budget: LiveBudget;
  readonly memory: LiveMemory;
  /** Called with an error that was not caused by the cluster. */
  readonly onUnexpected: (error: unknown) => void;
}

/** Live reads of one cluster. Each part fails independently: a failed part is null and listed in `faults`. */
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
    return this.#part(path, (client) => readNodes(client, this.#onCut(path, 'nodes')));
  }

  namespaces(path: string): Promise<NamespaceSummary[] | null> {
    return this.#part(path, (client) => readNamespaces(client, this.#onCut(path, 'namespaces')));
  }

  resources(path: string, query: ResourceQuery): Promise<ResourcePage | null> {
    if (query.first < 1 || query.first > MAX_OBJECTS)
      throw invalidInput([{ path: ['first'], message: `must be 1 to ${MAX_OBJECTS}` }]);
    for (const [name, maxLength] of Object.entries(MAX_LENGTHS))
      if ((query[name as keyof typeof MAX_LENGTHS]?.length ?? 0) > maxLength)
        return this.#part(path, () => {
          const limit = maxLength.toLocaleString('en');
          throw new ClusterError('INVALID_QUERY', `${name} must be at most ${limit} characters`);
        });
    return this.#part(path, (client) => readResources(client, query));
  }

  /** Waits for all parts that were requested and returns their faults. */
  async faults(): Promise<readonly LiveFault[]> {
    // The other fields of the same selection start in this microtask: let them register their parts first.
    await Promise.resolve();
    await Promise.all(this.#parts);
    return this.#faults;
  }

  #onCut(path: string, what: string): OnCut {
    return (shown, total) => {
      const all = total === undefined ? '' : ` of ${total}`;
      const message = `only the first ${shown}${all} ${what} are shown: read the others with \`resources\``;
      this.#faults.push({ path: [path], code: 'TRUNCATED', message });
    };
  }

  #part<T>(path: string, read: (client: ClusterClient) => Promise<T>): Promise<T | null> {
    const part = this.#read(read).catch((error: unknown) => {
      if (!(error instanceof ClusterError) || error instanceof ResourceError) this.#onUnexpected(error);
      this.#faults.push({ path: [path], ...faultOf(error) });
      return null;
    });
    this.#parts.push(part);
    return part;
  }

  async #read<T>(read: (client: ClusterClient) => Promise<T>): Promise<T> {
    const connection = await this.#connect();
    return read(limitCalls(connection, () => ({ signal: this.#budget.take(), timeoutMs: LIVE_MS }), this.#memory));
  }
}
