import { ResourceError } from '../../kubernetes/cluster-error.ts';
import { type ConnectionTestResult, testTarget } from '../../kubernetes/prober/connection-test.ts';
import { createProbe, type ProbeOutcome } from '../../kubernetes/prober/probe-function.ts';
import type { ProbeTarget } from '../../kubernetes/prober/probe-target.ts';
import { Prober } from '../../kubernetes/prober/prober.ts';
import type { Connection } from '../../kubernetes/transport/connection.ts';
import { Connections } from '../../kubernetes/transport/connections.ts';
import { type DescriptorShares, limitForClusters } from '../../kubernetes/transport/descriptors.ts';
import { LiveMemory } from '../../kubernetes/transport/live-memory.ts';
import { SocketBudget } from '../../kubernetes/transport/socket-budget.ts';
import type { Logger } from '../../log.ts';
import type { ChangeNotifier } from '../../storage/change-notifier.ts';
import type { Caller } from '../access/caller.ts';
import { hasActionOnAll, hasActionOnSome, requireViewer } from '../access/permissions.ts';
import type { VisibleClusters } from '../access/visible-clusters.ts';
import { type ConnectionSource, type CredentialStore, disabledError } from '../credentials/credential-store.ts';
import type { ChangeContext } from '../registry-change.ts';
import { type LiveBudget, LiveReads } from './live-reads.ts';
import type { ProbeSlots } from './probe-slots.ts';
import { ProbeTargets } from './probe-targets.ts';
import { PrometheusDiscovery } from './prometheus-discovery.ts';
import type { Statuses } from './statuses.ts';

/** The columns of a cluster that are needed to connect to it. */
export interface ClusterToReach {
  readonly uid: string;
  readonly enabled: boolean;
  readonly credentialsVersion: number;
}

export interface FleetOptions {
  readonly registry: ChangeContext;
  readonly credentials: CredentialStore;
  readonly visible: VisibleClusters;
  readonly statuses: Statuses;
  readonly slots: ProbeSlots;
  readonly changeNotifier: ChangeNotifier;
  readonly log: Logger;
  /** How many open sockets connections to clusters may use. */
  readonly descriptors: DescriptorShares;
  /** Called after every probe. */
  readonly onProbe: (state: string, latencyMs: number) => void;
}

/** Milliseconds that an import waits for the first probes of its clusters (docs/architecture.md). */
const FIRST_PROBES_MS = 1_000;
/**
 * Milliseconds between two writes of the end of the last round. Other replicas, and this one after a restart, use it to
 * tell how fresh the statuses are.
 */
const STORE_ROUND_MS = 10_000;

/** Milliseconds between two log lines about missing resources of this machine, such as file descriptors. */
const RESOURCE_LOG_MS = 60_000;

/** The connections to all registered clusters: probes them in the background and serves live reads on demand. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #sockets: SocketBudget;
  readonly #connections: Connections;
  readonly #prober: Prober;
  readonly #closing = new AbortController();
  readonly #liveMemory = new LiveMemory();
  readonly #discovery: PrometheusDiscovery;
  readonly #targets: ProbeTargets;
  #lastTargets: readonly ProbeTarget[] = [];
  #roundTimer: NodeJS.Timeout | undefined;
  #retiring: Promise<void> | undefined;
  #hasWarnedOfLimit = false;
  #resourceLoggedAt = Number.NEGATIVE_INFINITY;

  constructor(options: FleetOptions) {
    this.#options = options;
    const { policy } = options.registry;
    const sockets = new SocketBudget(options.descriptors.clusters);
    this.#sockets = sockets;
    this.#connections = new Connections({ policy, sockets, openCredential: (uid) => options.credentials.open(uid) });
    this.#discovery = new PrometheusDiscovery({ ...options, connections: this.#connections });
    this.#targets = new ProbeTargets(options);
    this.#prober = new Prober({
      targets: () => this.#readTargets(),
      probe: createProbe(this.#connections),
      holds: (lease) => options.slots.holds(lease),
      store: (outcomes) => this.#store(outcomes),
      onError: (error) => this.#logError(error),
    });
  }

  /** Starts background probing. */
  start(): void {
    this.#options.slots.start({
      onChange: () => {
        void this.#prober.refresh();
        this.#discovery.dropLost();
      },
      loads: (slots) => this.#targets.loads(slots, (uid) => this.#options.statuses.latencyOf(uid)),
      onError: (error) =>
        this.#options.log.warn({ err: error }, 'the probe slots of this replica cannot be renewed; retrying'),
    });
    this.#prober.start();
    this.#roundTimer = setInterval(() => void this.#storeRoundEnd(), STORE_ROUND_MS).unref();
    this.#followChanges().catch((error: unknown) =>
      this.#options.log.warn(
        { err: error },
        'change notifications have stopped: changes to clusters are probed with a delay',
      ),
    );
  }

  /** Stops probing and hands the clusters over to other replicas. Further calls do nothing. */
  retire(): Promise<void> {
    this.#retiring ??= this.#retire();
    return this.#retiring;
  }

  /** Closes every connection and cancels every probe. Further calls do nothing. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.retire();
    await this.#connections.close();
  }

  /** Number of clusters with an open connection. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Live reads of a cluster within the budget of a document; null if the caller may not read the cluster live. */
  async live(caller: Caller, cluster: ClusterToReach, budget: LiveBudget): Promise<LiveReads | null> {
    const viewer = requireViewer(caller);
    if (!hasActionOnSome(viewer, 'clusters.live')) return null;
    if (!hasActionOnAll(viewer, 'clusters.live')) {
      const { visible, registry } = this.#options;
      const allowed = await visible.readVisible(caller, 'clusters.live');
      const [where, select] = [{ uid: cluster.uid }, { id: true, registryChange: true } as const];
      const rows = await registry.database.prisma.cluster.findMany({ where, select });
      if ((await visible.filterVisible(caller, rows, allowed, 'clusters.live')).length === 0) return null;
    }
    const onUnexpected = (error: unknown) => {
      if (error instanceof ResourceError) this.#logMissingResource(error);
      else this.#options.log.error({ err: error }, 'a live read failed');
    };
    return new LiveReads({ connect: () => this.#connect(cluster), budget, memory: this.#liveMemory, onUnexpected });
  }

  /** Tests a connection without storing anything. */
  async testConnection(source: ConnectionSource): Promise<ConnectionTestResult> {
    return testTarget(
      { ...source, policy: this.#options.registry.policy, sockets: this.#sockets },
      this.#closing.signal,
    );
  }

  /** Probes a cluster now and stores the result. Does nothing for a cluster that is disabled or unusable. */
  async probeNow(uid: string): Promise<void> {
    this.#targets.probeHere(uid);
    const outcome = await this.#prober.probeNow(uid);
    if (outcome) await this.#options.statuses.store([outcome]);
  }

  /**
   * Waits until each of these clusters has been probed, at most until a second after `began` (monotonic milliseconds).
   */
  async waitForFirstProbes(uids: readonly string[], began: number): Promise<void> {
    const remaining = began + FIRST_PROBES_MS - performance.now();
    if (!this.#roundTimer || remaining <= 0) return;
    for (const uid of uids) this.#targets.probeHere(uid);
    const probed = this.#prober.waitForFirstOutcomes(uids);
    const outcomes = await Promise.race([probed, timeout(remaining)]);
    if (outcomes) await this.#options.statuses.store(outcomes.filter((outcome) => outcome !== undefined));
  }

  async #connect({ uid, enabled, credentialsVersion }: ClusterToReach): Promise<Connection> {
    if (!enabled) throw disabledError();
    return (await this.#connections.of({ uid, credentialsVersion })).connection;
  }

  async #retire(): Promise<void> {
    clearInterval(this.#roundTimer);
    this.#discovery.stop();
    if (this.#roundTimer) await this.#storeRoundEnd();
    await this.#prober.stop();
    await this.#options.slots.close();
  }

  async #readTargets(): Promise<readonly ProbeTarget[]> {
    const targets = await this.#targets.read();
    if (targets === this.#lastTargets) return targets;
    this.#lastTargets = targets;
    // Keep the connections to clusters that another replica probes too: live reads of them run here.
    await this.#connections.keepOnly(this.#targets.usable());
    this.#options.statuses.keepOnly(new Set(targets.map(({ uid }) => uid)));
    this.#warnIfTooFewSockets(targets.length);
    return targets;
  }

  /** Warns once if there are more clusters than sockets for them. */
  #warnIfTooFewSockets(clusters: number): void {
    const { descriptors, log } = this.#options;
    if (this.#hasWarnedOfLimit || clusters <= descriptors.clusters) return;
    this.#hasWarnedOfLimit = true;
    log.warn(
      { limit: descriptors.limit, clusters, connections: descriptors.clusters, needed: limitForClusters(clusters) },
      'the limit of open files is too low to keep a connection to each cluster: raise it (ulimit -n), or each probe opens a new connection',
    );
  }

  #logError(error: unknown): void {
    if (error instanceof ResourceError) this.#logMissingResource(error);
    else this.#options.log.warn({ err: error }, 'probing: the registry is unavailable; retrying');
  }

  /** Logs at most one line per RESOURCE_LOG_MS, because every call fails for the same reason. */
  #logMissingResource({ message }: ResourceError): void {
    if (performance.now() - this.#resourceLoggedAt < RESOURCE_LOG_MS) return;
    this.#resourceLoggedAt = performance.now();
    this.#options.log.warn({ reason: message }, 'clusters cannot be called; their statuses stay as they are');
  }

  async #store(outcomes: readonly ProbeOutcome[]): Promise<void> {
    for (const { state, latencyMs } of outcomes) this.#options.onProbe(state, latencyMs);
    await this.#options.statuses.store(outcomes);
    this.#targets.markProbed(outcomes.map(({ uid }) => uid));
    // Only some probes read the version. After such a probe, also search the cluster for Prometheus, but not before every
    // cluster has had its first probe.
    this.#discovery.add(outcomes.filter(({ version }) => version !== undefined));
    if (!this.#prober.hasUnprobedClusters) this.#discovery.begin();
  }

  /** Refreshes the prober as soon as any replica changes the registry: new and changed clusters are probed first. */
  async #followChanges(): Promise<void> {
    const { registry, changeNotifier } = this.#options;
    let seen = await registry.database.counters();
    while (!this.#closing.signal.aborted) {
      const next = await changeNotifier.waitForChange(seen, this.#closing.signal);
      if (!next) return;
      if (next.registry !== seen.registry) await this.#prober.refresh();
      seen = next;
    }
  }

  async #storeRoundEnd(): Promise<void> {
    const finishedAt = this.#prober.roundFinishedAt();
    if (!finishedAt) return;
    await this.#options.statuses
      .finishRound(finishedAt)
      .catch((error: unknown) => this.#options.log.warn({ err: error }, 'the end of the probe round cannot be stored'));
  }
}

function timeout(ms: number): Promise<undefined> {
  return new Promise((resolve) => void setTimeout(() => resolve(undefined), ms).unref());
}
