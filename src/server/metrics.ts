import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** A cluster as its metrics show it. */
export interface ClusterSample {
  readonly name: string;
  readonly state: string;
  readonly latencyMs: number | null;
}

/** What is asked of the product when somebody scrapes. */
export interface MetricsSources {
  readonly clusters: () => Promise<readonly ClusterSample[]>;
  readonly connections: () => number;
  /** Of the 256 slots that clusters fall into, those that this replica probes. */
  readonly slots: () => number;
}

/** Clusters that have series of their own; the counts by state are of all. */
const MAX_SERIES = 1_000;

/** The metrics for Prometheus. Labels hold routes, root fields, states and cluster names: nothing that a caller makes up. */
export class Metrics {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #requests: Histogram<'operation' | 'status'>;
  readonly #probes: Histogram<'state'>;
  readonly #cost: Counter;

  constructor() {
    const registers = [this.#registry];
    this.contentType = this.#registry.contentType;
    collectDefaultMetrics({ register: this.#registry, prefix: 'kitestring_' });
    this.#requests = new Histogram({
      name: 'kitestring_request_duration_seconds',
      help: 'Time until a request was answered, by REST route or GraphQL root field.',
      labelNames: ['operation', 'status'],
      buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
      registers,
    });
    this.#probes = new Histogram({
      name: 'kitestring_probe_duration_seconds',
      help: 'Time until a cluster answered a probe, by the state that was found.',
      labelNames: ['state'],
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 2, 5],
      registers,
    });
    this.#cost = new Counter({
      name: 'kitestring_charged_cost_total',
      help: 'Cost charged to callers for GraphQL documents and request bodies, in units of GRAPHQL_COST_PER_MINUTE.',
      registers,
    });
  }

  /** Counts a request that was answered. */
  request(operation: string, status: number, ms: number): void {
    this.#requests.observe({ operation, status }, ms / 1000);
  }

  /** Counts a probe that ended. */
  probe(state: string, ms: number): void {
    this.#probes.observe({ state }, ms / 1000);
  }

  /** Counts a cost that a caller was charged, for a GraphQL document or a request body. */
  charge(cost: number): void {
    this.#cost.inc(cost);
  }

  /** Adds what is read when somebody scrapes. */
  follow({ clusters, connections, slots }: MetricsSources): void {
    const registers = [this.#registry];
    const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
      new Gauge({ name, help, labelNames, registers });
    const up = gauge('kitestring_cluster_up', 'Whether the cluster is READY.', ['cluster']);
    const state = gauge('kitestring_cluster_state', 'The state of the cluster: 1 for the one it is in.', [
      'cluster',
      'state',
    ]);
    const latency = gauge(
      'kitestring_cluster_latency_seconds',
      'How long the last probe took until the cluster answered.',
      ['cluster'],
    );
    const counts = gauge('kitestring_clusters', 'Clusters in the registry, by state.', ['state']);
    const open = gauge('kitestring_cluster_connections', 'Clusters to which a connection is open.', []);
    const held = gauge('kitestring_probe_slots', 'Of the 256 slots of clusters, those that this replica probes.', []);
    this.#collect = async () => {
      const samples = await clusters();
      for (const one of [up, state, latency, counts]) one.reset();
      for (const { state } of samples) counts.inc({ state });
      for (const sample of samples.slice(0, MAX_SERIES)) {
        const labels = { cluster: sample.name };
        up.set(labels, sample.state === 'READY' ? 1 : 0);
        state.set({ ...labels, state: sample.state }, 1);
        if (sample.latencyMs !== null) latency.set(labels, sample.latencyMs / 1000);
      }
      open.set(connections());
      held.set(slots());
    };
  }

  /** The metrics as Prometheus reads them. */
  async text(): Promise<string> {
    await this.#collect();
    return this.#registry.metrics();
  }

  #collect: () => Promise<void> = async () => {};
}
