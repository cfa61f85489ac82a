import { limitCalls } from '../../kubernetes/call-slots.ts';
import { ClusterError } from '../../kubernetes/cluster-error.ts';
import type { Connections } from '../../kubernetes/connections.ts';
import { findPrometheus } from '../../kubernetes/find-prometheus.ts';
import type { ProbeOutcome } from '../../kubernetes/probe-function.ts';
import type { Logger } from '../../log.ts';
import type { ProbeSlots } from './probe-slots.ts';
import type { Statuses } from './statuses.ts';

interface OffersOptions {
  readonly connections: Connections;
  readonly statuses: Statuses;
  readonly slots: ProbeSlots;
  readonly log: Logger;
}

/** Clusters whose Prometheus is looked for at once. */
const SEARCHES = 4;

/** Looks for a Prometheus in clusters that answer, and offers it: by whoever may ask the cluster, as long as they may. */
export class PrometheusDiscovery {
  readonly #options: OffersOptions;
  readonly #waiting: ProbeOutcome[] = [];
  readonly #running = new Map<ProbeOutcome, AbortController>();
  #isStopped = false;

  constructor(options: OffersOptions) {
    this.#options = options;
  }

  /** Lets clusters be looked in at the next `begin`. */
  add(outcomes: readonly ProbeOutcome[]): void {
    this.#waiting.push(...outcomes);
  }

  /** Looks in those that wait, a few at once. */
  begin(): void {
    while (this.#running.size < SEARCHES) {
      const next = this.#waiting.shift();
      if (!next) return;
      if (!this.#isLost(next)) void this.#search(next);
    }
  }

  /** Ends what goes on in clusters that have become another's, who looks there anew. */
  dropLost(): void {
    for (const [outcome, abort] of this.#running) if (this.#isLost(outcome)) abort.abort(lost());
  }

  /** Ends all of it; nothing begins afterwards. */
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
      // It is an offer and nothing else: a cluster that does not tell is as good.
      log.debug({ err: error }, 'no Prometheus was found');
    }
    this.#running.delete(outcome);
    this.begin();
  }
}

function lost(): ClusterError {
  return new ClusterError('CANCELLED', 'the cluster is asked by another now');
}
