import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** The values of a cluster that its metrics show. */
interface ClusterSample {
  readonly name: string;
  readonly state: string;
  readonly latencyMs: number | null;
}

/** Functions that are called at each scrape. */
export interface MetricsSources {
  readonly clusters: () => Promise<readonly ClusterSample[]>;
  readonly connections: () => number;
  /** How many of the 256 slots, into which all clusters are divided, this replica probes. */
  readonly slots: () => number;
}

/** Maximum clusters with their own series. The counts by state include all clusters. */
const MAX_SERIES = 1_000;

/**
 * The metrics for Prometheus. Labels only contain routes, root fields, states and cluster names, so callers cannot
 * create series at will.
 */
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
      help: 'Duration of requests in seconds, by REST route or GraphQL root field, and by HTTP status.',
      labelNames: ['operation', 'status'],
      buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
      registers,
    });
    this.#probes = new Histogram({
      name: 'kitestring_probe_duration_seconds',
      help: 'Duration of cluster probes in seconds, by the resulting state.',
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

  /** Records a finished request. */
  request(operation: string, status: number, ms: number): void {
    this.#requests.observe({ operation, status }, ms / 1000);
  }

  /** Records a finished probe. */
  probe(state: string, ms: number): void {
    this.#probes.observe({ state }, ms / 1000);
  }

  /** Records a cost charged to a caller for a GraphQL document or a request body. */
  charge(cost: number): void {
    this.#cost.inc(cost);
  }

  /** Adds the gauges that are updated at each scrape. */
  follow({ clusters, connections, slots }: MetricsSources): void {
    const registers = [this.#registry];
    const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
      new Gauge({ name, help, labelNames, registers });
    const up = gauge('kitestring_cluster_up', '1 if the cluster is READY, else 0.', ['cluster']);
    const state = gauge('kitestring_cluster_state', '1 for the current state of the cluster.', ['cluster', 'state']);
    const latency = gauge(
      'kitestring_cluster_latency_seconds',
      'Response time of the cluster in the last probe, in seconds.',
      ['cluster'],
    );
    const counts = gauge('kitestring_clusters', 'Number of clusters in the registry, by state.', ['state']);
    const open = gauge('kitestring_cluster_connections', 'Number of clusters with an open connection.', []);
    const held = gauge('kitestring_probe_slots', 'Number of the 256 cluster slots that this replica probes.', []);
    this.#collect = async () => {
      const samples = await clusters();
      for (const gauge of [up, state, latency, counts]) gauge.reset();
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

  /** The metrics in Prometheus's text format. */
  async text(): Promise<string> {
    await this.#collect();
    return this.#registry.metrics();
  }

  #collect: () => Promise<void> = async () => {};
}
