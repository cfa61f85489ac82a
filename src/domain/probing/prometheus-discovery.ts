import { findPrometheus } from '../../kubernetes/api/find-prometheus.ts';
import { ClusterError } from '../../kubernetes/cluster-error.ts';
import type { ProbeOutcome } from '../../kubernetes/prober/probe-function.ts';
import { limitCalls } from '../../kubernetes/transport/call-slots.ts';
import type { Connections } from '../../kubernetes/transport/connections.ts';
import type { Logger } from '../../log.ts';
import type { ProbeSlots } from './probe-slots.ts';
import type { Statuses } from './statuses.ts';

interface DiscoveryOptions {
  readonly connections: Connections;
  readonly statuses: Statuses;
  readonly slots: ProbeSlots;
  readonly log: Logger;
}

/** Number of clusters that are searched concurrently. */
const MAX_SEARCHES = 4;

/**
 * Searches clusters for a Prometheus service and stores its URL. Only the replica that holds a cluster's lease searches it;
 * the search is cancelled when the lease is lost.
 */
export class PrometheusDiscovery {
  readonly #options: DiscoveryOptions;
  readonly #queue: ProbeOutcome[] = [];
  readonly #running = new Map<ProbeOutcome, AbortController>();
  #isStopped = false;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  /** Queues clusters for the next `begin`. */
  add(outcomes: readonly ProbeOutcome[]): void {
    this.#queue.push(...outcomes);
  }

  /** Starts queued searches, at most `MAX_SEARCHES` at once. */
  begin(): void {
    while (this.#running.size < MAX_SEARCHES) {
      const next = this.#queue.shift();
      if (!next) return;
      if (!this.#isLost(next)) void this.#search(next);
    }
  }

  /** Cancels searches in clusters that another replica has taken over: that replica searches them again. */
  dropLost(): void {
    for (const [outcome, abort] of this.#running) if (this.#isLost(outcome)) abort.abort(lost());
  }

  /** Cancels all searches and starts no more. */
  stop(): void {
    this.#isStopped = true;
    this.dropLost();
  }

  #isLost({ lease }: ProbeOutcome): boolean {
    return this.#isStopped || (lease !== undefined && !this.#options.slots.holds(lease));
  }

  async #search(outcome: ProbeOutcome): Promise<void> {
    const { connections, statuses, log } = this.#options;
    const { uid, credentialsVersion } = outcome;
    const abort = new AbortController();
    this.#running.set(outcome, abort);
    const callOf = () => {
      this.dropLost();
      return { signal: abort.signal };
    };
    try {
      const { connection } = await connections.of({ uid, credentialsVersion });
      const found = await findPrometheus(limitCalls(connection, callOf));
      await statuses.storeDiscoveredPrometheus({ uid, credentialsVersion }, found ?? null);
    } catch (error) {
      // Discovery is optional: its failure is not an error of the cluster.
      log.debug({ err: error }, 'the search for a Prometheus failed');
    }
    this.#running.delete(outcome);
    this.begin();
  }
}

function lost(): ClusterError {
  return new ClusterError('CANCELLED', 'another replica has taken over the cluster');
}
