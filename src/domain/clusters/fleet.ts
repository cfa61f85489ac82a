import { ClusterError, ResourceError } from '../../kubernetes/cluster-error.ts';
import type { Connection, ConnectionOptions } from '../../kubernetes/connection.ts';
import { type ConnectionTestResult, testTarget } from '../../kubernetes/connection-test.ts';
import { Connections, type OpenedCredential } from '../../kubernetes/connections.ts';
import { type DescriptorShares, limitForClusters } from '../../kubernetes/descriptors.ts';
import { type InClusterEnvironment, readInCluster } from '../../kubernetes/in-cluster.ts';
import { LiveMemory } from '../../kubernetes/live-memory.ts';
import { type ProbeOutcome, probeOver } from '../../kubernetes/probe-function.ts';
import type { ProbeTarget } from '../../kubernetes/probe-target.ts';
import { Prober } from '../../kubernetes/prober.ts';
import { SocketBudget } from '../../kubernetes/socket-budget.ts';
import type { Logger } from '../../log.ts';
import type { ChangeNotifier } from '../../storage/change-notifier.ts';
import { hasActionOnAll, hasActionOnSome, requireViewer } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { type LiveBudget, LiveReads } from './live-reads.ts';
import type { ProbeSlots } from './probe-slots.ts';
import { ProbeTargets } from './probe-targets.ts';
import { PrometheusDiscovery } from './prometheus-discovery.ts';
import type { ChangeContext } from './registry-change.ts';
import type { Statuses } from './statuses.ts';
import { openStoredTarget } from './stored-target.ts';
import type { VisibleClusters } from './visible-clusters.ts';

/** What of a cluster's row decides how it is reached. */
export interface ClusterToReach {
  readonly uid: string;
  readonly enabled: boolean;
  readonly credentialsVersion: number;
}

/** How a cluster is reached: by what a kubeconfig says, or by the service account of this pod. */
export type ConnectionSource = Pick<ConnectionOptions, 'target' | 'token'>;

/** What the fleet works with. */
export interface FleetOptions {
  readonly registry: ChangeContext;
  readonly visible: VisibleClusters;
  readonly statuses: Statuses;
  readonly slots: ProbeSlots;
  readonly news: ChangeNotifier;
  readonly inCluster: InClusterEnvironment;
  readonly log: Logger;
  /** How many sockets clusters may have open. */
  readonly descriptors: DescriptorShares;
  /** Told of every probe that ended. */
  readonly onProbe: (state: string, latencyMs: number) => void;
}

/** How long an import waits for the first word of its clusters (docs/architecture.md). */
const SETTLE_MS = 1_000;
/** How often the age of the oldest status is stored: what a restart and other replicas show. */
const ROUND_MARK_MS = 10_000;

/** Milliseconds between two log lines that say what this machine lacks. */
const LACK_LOG_MS = 60_000;

/** The clusters as they live: reached by what the registry keeps, probed in the background, asked on demand. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #sockets: SocketBudget;
  readonly #connections: Connections;
  readonly #prober: Prober;
  readonly #ending = new AbortController();
  readonly #liveMemory = new LiveMemory();
  readonly #offers: PrometheusDiscovery;
  readonly #targets: ProbeTargets;
  #kept: readonly ProbeTarget[] = [];
  #marking: NodeJS.Timeout | undefined;
  #retiring: Promise<void> | undefined;
  #isLimitTold = false;
  #lackToldAt = Number.NEGATIVE_INFINITY;

  constructor(options: FleetOptions) {
    this.#options = options;
    const { policy } = options.registry;
    const sockets = new SocketBudget(options.descriptors.clusters);
    this.#sockets = sockets;
    this.#connections = new Connections({ policy, sockets, openCredential: (uid) => this.#openCredential(uid) });
    this.#offers = new PrometheusDiscovery({ ...options, connections: this.#connections });
    this.#targets = new ProbeTargets(options);
    this.#prober = new Prober({
      targets: () => this.#readTargets(),
      attempt: probeOver(this.#connections),
      holds: (lease) => options.slots.holds(lease),
      store: (outcomes) => this.#store(outcomes),
      onError: (error) => this.#logError(error),
    });
  }

  /** Begins to keep every status fresh. */
  start(): void {
    this.#options.slots.start({
      onChange: () => {
        void this.#prober.refresh();
        this.#offers.dropLost();
      },
      loads: (slots) => this.#targets.loads(slots, (uid) => this.#options.statuses.latencyOf(uid)),
      onError: (error) => this.#options.log.warn({ err: error }, 'the share of this replica cannot be renewed'),
    });
    this.#prober.start();
    this.#marking = setInterval(() => void this.#markRound(), ROUND_MARK_MS).unref();
    this.#followChanges().catch((error: unknown) =>
      this.#options.log.warn({ err: error }, 'changes are met when the prober looks, not at once'),
    );
  }

  /** Ends probing, and hands it over to other replicas; again does nothing. */
  retire(): Promise<void> {
    this.#retiring ??= this.#retire();
    return this.#retiring;
  }

  /** Ends every connection and attempt; again does nothing. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.retire();
    await this.#connections.close();
  }

  /** Clusters to which a connection is open. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Live reads of a cluster within a document's budget; null for who may not ask clusters. */
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
      if (error instanceof ResourceError) this.#logLack(error);
      else this.#options.log.error({ err: error }, 'a live read failed');
    };
    return new LiveReads({ connect: () => this.#connect(cluster), budget, memory: this.#liveMemory, onUnexpected });
  }

  /** Tries a credential that is not stored. */
  async testConnection(source: ConnectionSource): Promise<ConnectionTestResult> {
    return testTarget(
      { ...source, policy: this.#options.registry.policy, sockets: this.#sockets },
      this.#ending.signal,
    );
  }

  /** How the cluster that Kitestring runs in is reached; a ClusterError where it runs in none. */
  inCluster(): Promise<ConnectionSource> {
    return readInCluster(this.#options.inCluster);
  }

  /** How a stored cluster is reached; a ClusterError where its credential cannot be used. */
  connectionSourceOf(uid: string): Promise<ConnectionSource> {
    return this.#openCredential(uid);
  }

  /** Tries a cluster now and stores what that finds. A cluster that is not probed stays as it is. */
  async probeNow(uid: string): Promise<void> {
    this.#targets.probeHere(uid);
    const outcome = await this.#prober.probeNow(uid);
    if (outcome) await this.#options.statuses.store([outcome]);
  }

  /** Waits until each of these clusters has been tried, at most until a second after the request `began`. */
  async settle(uids: readonly string[], began: number): Promise<void> {
    const left = began + SETTLE_MS - performance.now();
    if (!this.#marking || left <= 0) return;
    for (const uid of uids) this.#targets.probeHere(uid);
    const tried = this.#prober.tried(uids);
    const outcomes = await Promise.race([tried, after(left)]);
    if (outcomes) await this.#options.statuses.store(outcomes.filter((outcome) => outcome !== undefined));
  }

  async #connect({ uid, enabled, credentialsVersion }: ClusterToReach): Promise<Connection> {
    if (!enabled) throw disabled();
    return (await this.#connections.of({ uid, credentialsVersion })).connection;
  }

  async #openCredential(uid: string): Promise<OpenedCredential> {
    const { registry } = this.#options;
    // A kubeconfig that cannot be used may have 4 MiB: its problem is stored beside it, so that nothing reads it again.
    const row = await registry.database.prisma.cluster.findUnique({
      where: { uid, enabled: true, credentialProblem: null },
      select: { inCluster: true, credentialsVersion: true, credential: { select: { sealed: true } } },
    });
    if (!row) throw await this.#whyUnusable(uid);
    const { credentialsVersion, credential } = row;
    if (row.inCluster) return { credentialsVersion, ...(await this.inCluster()) };
    return { credentialsVersion, target: await openStoredTarget(registry, { uid, sealed: credential?.sealed }) };
  }

  async #whyUnusable(uid: string): Promise<ClusterError> {
    const { prisma } = this.#options.registry.database;
    const row = await prisma.cluster.findUnique({
      where: { uid },
      select: { enabled: true, credentialProblem: true },
    });
    if (!row) return new ClusterError('CREDENTIAL_UNUSABLE', 'the cluster is not registered any more');
    // A caller may have read the row before the cluster was disabled: it must not open what was just closed.
    if (!row.enabled) return disabled();
    const problem = row.credentialProblem ?? 'the credential of the cluster was replaced just now: try again';
    return new ClusterError('CREDENTIAL_UNUSABLE', problem);
  }

  async #retire(): Promise<void> {
    clearInterval(this.#marking);
    this.#offers.stop();
    if (this.#marking) await this.#markRound();
    await this.#prober.stop();
    await this.#options.slots.close();
  }

  async #readTargets(): Promise<readonly ProbeTarget[]> {
    const targets = await this.#targets.read();
    if (targets === this.#kept) return targets;
    this.#kept = targets;
    // What another replica probes is read live here too.
    await this.#connections.keepOnly(this.#targets.usable());
    this.#options.statuses.keepOnly(new Set(targets.map(({ uid }) => uid)));
    this.#checkLimit(targets.length);
    return targets;
  }

  /** One warning, as soon as there are more clusters than sockets for them. */
  #checkLimit(clusters: number): void {
    const { descriptors, log } = this.#options;
    if (this.#isLimitTold || clusters <= descriptors.clusters) return;
    this.#isLimitTold = true;
    log.warn(
      { limit: descriptors.limit, clusters, connections: descriptors.clusters, needed: limitForClusters(clusters) },
      'the limit of open files is too low to keep a connection to each cluster: raise it (ulimit -n), or each probe connects anew',
    );
  }

  #logError(error: unknown): void {
    if (error instanceof ResourceError) this.#logLack(error);
    else this.#options.log.warn({ err: error }, 'probing: the registry cannot be used, trying again');
  }

  /** One line for all calls that fail alike. */
  #logLack({ message }: ResourceError): void {
    if (performance.now() - this.#lackToldAt < LACK_LOG_MS) return;
    this.#lackToldAt = performance.now();
    this.#options.log.warn({ reason: message }, 'clusters cannot be called; their statuses stay as they are');
  }

  async #store(outcomes: readonly ProbeOutcome[]): Promise<void> {
    for (const { state, latencyMs } of outcomes) this.#options.onProbe(state, latencyMs);
    await this.#options.statuses.store(outcomes);
    this.#targets.markProbed(outcomes.map(({ uid }) => uid));
    // With its version a cluster has told everything that it is asked rarely: time to look for Prometheus too,
    // as soon as every other has been asked how it is.
    this.#offers.add(outcomes.filter(({ version }) => version !== undefined));
    if (!this.#prober.hasUnprobedClusters) this.#offers.begin();
  }

  /** A change by whichever process is met at once: what is new is tried before anything else. */
  async #followChanges(): Promise<void> {
    const { registry, news } = this.#options;
    let seen = await registry.database.counters();
    while (!this.#ending.signal.aborted) {
      const next = await news.after(seen, this.#ending.signal);
      if (!next) return;
      if (next.registry !== seen.registry) await this.#prober.refresh();
      seen = next;
    }
  }

  async #markRound(): Promise<void> {
    const finishedAt = this.#prober.roundFinishedAt();
    if (!finishedAt) return;
    await this.#options.statuses
      .finishRound(finishedAt)
      .catch((error: unknown) => this.#options.log.warn({ err: error }, 'the end of a round cannot be stored'));
  }
}

function disabled(): ClusterError {
  return new ClusterError('DISABLED', 'the cluster is disabled: nothing is asked of it');
}

function after(ms: number): Promise<undefined> {
  return new Promise((resolve) => void setTimeout(() => resolve(undefined), ms).unref());
}
