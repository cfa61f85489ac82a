import type { ProbeLease } from '../../kubernetes/prober/probe-target.ts';
import { lazy } from '../../lazy.ts';
import type { Database, Transaction } from '../../storage/database.ts';
import { systemCaller } from '../access/system-caller.ts';
import { record } from '../audit/record.ts';
import type { ClusterState } from '../cluster-status.ts';
import type { ProbeSlots } from './probe-slots.ts';

/** The result of one probe of a cluster, and the version of the credential that the probe used. */
export interface Observation {
  readonly uid: string;
  readonly credentialsVersion: number;
  readonly state: ClusterState;
  /** Absent if the probe did not read the version; the stored version then stays. */
  readonly version?: string;
  readonly latencyMs: number;
  readonly fault?: { readonly code: string; readonly message: string };
  /**
   * The UID of the namespace kube-system; null if the credential may not read it, absent if the probe did not read it.
   */
  readonly identity?: string | null;
  readonly observedAt: Date;
  /** The lease under which the probe ran; absent for a one-off probe, which needs no lease. */
  readonly lease?: ProbeLease | undefined;
}

/** The last probe that this replica made of a cluster. */
interface LastProbe {
  readonly credentialsVersion: number;
  readonly observedAt: Date;
  readonly latencyMs: number;
}

/**
 * Returns when the replica that probes this cluster last completed a round, that is, had probed all of its clusters.
 */
type RoundEndOf = (clusterId: number) => Date | null | undefined;

/** Milliseconds for which the round ends that were read from the database are reused. */
const ROUND_REUSE_MS = 1_000;
/** Largest difference between the clocks of two replicas that we tolerate, in milliseconds. */
const MAX_CLOCK_SKEW_MS = 60_000;

/**
 * Stores the results of probes. A status is written only when it changes, and only if the cluster still has the credential
 * that the probe used. The time of the last probe is kept in memory: it is exact on the replica that probes the cluster.
 */
export class Statuses {
  readonly #database: Database;
  readonly #slots: ProbeSlots;
  readonly #lastProbes = new Map<string, LastProbe>();
  /**
   * Observations that equal the stored status, valid while the status counter has this value. An equal observation needs
   * no read of the database.
   */
  #unchanged: { status: number; observations: Map<string, Observation> } = { status: -1, observations: new Map() };
  readonly #rounds = lazy(() => this.#readRounds(), { reuseMs: ROUND_REUSE_MS });

  constructor({ database, slots }: { database: Database; slots: ProbeSlots }) {
    this.#database = database;
    this.#slots = slots;
  }

  /**
   * Stores a batch. An observation that equals the stored status causes no write, and no read if it was compared
   * before.
   */
  async store(observations: readonly Observation[]): Promise<void> {
    for (const { uid, credentialsVersion, observedAt, latencyMs } of observations)
      if ((this.#lastProbes.get(uid)?.credentialsVersion ?? 0) <= credentialsVersion)
        this.#lastProbes.set(uid, { credentialsVersion, observedAt, latencyMs });
    const { status } = await this.#database.counters();
    if (this.#unchanged.status !== status) this.#unchanged = { status, observations: new Map() };
    const known = this.#unchanged.observations;
    const candidates = observations.filter(
      (observation) => !isSameObservation(observation, known.get(observation.uid)),
    );
    if (candidates.length === 0) return;
    const uids = candidates.map(({ uid }) => uid);
    const rows = await this.#database.prisma.cluster.findMany({ where: { uid: { in: uids } } });
    const byUid = new Map(rows.map((row) => [row.uid, row]));
    const changed = candidates.filter((observation) => changesRow(observation, byUid.get(observation.uid)));
    for (const observation of candidates) if (!changed.includes(observation)) known.set(observation.uid, observation);
    if (changed.length === 0) return;
    await this.#database.write('status', async (tx, { status = 0 }) => {
      const leases = this.#slots.isShared ? changed.flatMap(({ lease }) => lease ?? []) : [];
      const fences = await fencesOf(tx, new Set(leases.map(({ slot }) => slot)));
      // Read again under the lock: another writer may have changed the rows since the read above.
      const lockedRows = await tx.cluster.findMany({ where: { uid: { in: changed.map(({ uid }) => uid) } } });
      const current = new Map(lockedRows.map((row) => [row.uid, row]));
      for (const observation of changed)
        if (!this.#hasLostLease(observation, fences))
          await this.#apply(tx, observation, current.get(observation.uid), status);
    });
  }

  /** When a cluster was last probed, and how long that took; null before the first probe with this credential. */
  async lastProbeOf(row: {
    id: number;
    uid: string;
    credentialsVersion: number;
    observedAt: Date | null;
    latencyMs: number | null;
  }): Promise<{ observedAt: Date | null; latencyMs: number | null }> {
    const known = this.#lastProbes.get(row.uid);
    const local = known?.credentialsVersion === row.credentialsVersion ? known : undefined;
    // If this replica probes the cluster, its own time is exact. Otherwise use the probing replica's last complete round.
    if (local && this.#slots.leaseOf(row.id)) return local;
    if (!row.observedAt) return local ?? { observedAt: null, latencyMs: null };
    const times = [row.observedAt, local?.observedAt, await this.#lastRound(row.id)].map(
      (time) => time?.getTime() ?? 0,
    );
    const now = Date.now();
    // Ignore times further ahead than the clock skew we tolerate: they come from a clock that was wrong.
    const credible = times.filter((time) => time <= now + MAX_CLOCK_SKEW_MS);
    const latest = Math.min(Math.max(...credible, 0), now);
    const observedAt = latest === 0 ? null : new Date(latest);
    return { observedAt, latencyMs: local?.latencyMs ?? row.latencyMs };
  }

  /**
   * Duration of this replica's last probe of the cluster in milliseconds; undefined if it has not probed the cluster.
   */
  latencyOf(uid: string): number | undefined {
    return this.#lastProbes.get(uid)?.latencyMs;
  }

  /** Every cluster with its state, and the duration of this replica's last probe of it in milliseconds. */
  async sample(): Promise<{ name: string; state: string; latencyMs: number | null }[]> {
    const rows = await this.#database.prisma.cluster.findMany({
      select: { uid: true, name: true, state: true },
      orderBy: { id: 'asc' },
    });
    return rows.map(({ uid, name, state }) => ({
      name,
      state,
      latencyMs: this.#lastProbes.get(uid)?.latencyMs ?? null,
    }));
  }

  /** Records the time since which this replica has probed each of its clusters at least once. */
  async finishRound(roundFinishedAt: Date): Promise<void> {
    const id = this.#slots.replica;
    await this.#database.prisma.replica.upsert({
      where: { id },
      create: { id, roundFinishedAt },
      update: { roundFinishedAt },
    });
  }

  /** Stores the URL of the Prometheus that was discovered in a cluster; null clears it. */
  async storeDiscoveredPrometheus(
    cluster: { uid: string; credentialsVersion: number },
    url: string | null,
  ): Promise<void> {
    const where = { ...cluster, enabled: true, NOT: { discoveredPrometheusURL: url } };
    // In SQL, `NOT column = value` is not true for NULL, so a row without a URL needs its own condition.
    const unset = { ...cluster, enabled: true, discoveredPrometheusURL: null };
    const stale = { OR: url === null ? [{ ...cluster, discoveredPrometheusURL: { not: null } }] : [where, unset] };
    if ((await this.#database.prisma.cluster.count({ where: stale })) === 0) return;
    await this.#database.write('status', (tx, { status = 0 }) =>
      tx.cluster.updateMany({ where: stale, data: { discoveredPrometheusURL: url, statusChange: status } }),
    );
  }

  /** Drops the in-memory data of all other clusters. */
  keepOnly(uids: ReadonlySet<string>): void {
    for (const uid of this.#lastProbes.keys()) if (!uids.has(uid)) this.#lastProbes.delete(uid);
    const { observations } = this.#unchanged;
    for (const uid of observations.keys()) if (!uids.has(uid)) observations.delete(uid);
  }

  /** Whether another replica has taken over the lease since this observation. A single process cannot lose a lease. */
  #hasLostLease({ lease }: Observation, fences: ReadonlyMap<number, number>): boolean {
    return this.#slots.isShared && lease !== undefined && fences.get(lease.slot) !== lease.fence;
  }

  async #apply(
    tx: Transaction,
    observation: Observation,
    current: StatusRow | undefined,
    statusChange: number,
  ): Promise<void> {
    const { state, version, fault, identity, observedAt, latencyMs } = observation;
    if (!current || !changesRow(observation, current)) return;
    const other = identity && current.identity && identity !== current.identity ? identity : null;
    const { count } = await tx.cluster.updateMany({
      where: whereUnchanged(current),
      data: {
        ...{ state, observedAt, latencyMs, statusChange },
        ...(state === current.state ? {} : { stateSince: observedAt }),
        ...{ faultCode: fault?.code ?? null, faultMessage: fault?.message ?? null },
        ...(version === undefined ? {} : { version }),
        ...(identity && !current.identity ? { identity } : {}),
        ...(identity ? { otherIdentity: other } : {}),
      },
    });
    if (count === 1 && other && other !== current.otherIdentity)
      await record(tx, systemCaller('prober'), {
        action: 'cluster.identity-changed',
        at: observedAt,
        cluster: current,
        changes: { identity: { from: current.identity, to: other } },
      });
  }

  /** The end of the last complete round of the replica that probes this cluster, or that probed it last. */
  async #lastRound(clusterId: number): Promise<Date | null | undefined> {
    return (await this.#rounds())(clusterId);
  }

  async #readRounds(): Promise<RoundEndOf> {
    const { prisma } = this.#database;
    const rows = await prisma.replica.findMany({ orderBy: { roundFinishedAt: { sort: 'asc', nulls: 'first' } } });
    // A single process may have another replica id than before its restart: use the newest row and ignore its id.
    if (!this.#slots.isShared) return () => rows.at(-1)?.roundFinishedAt;
    const leases = await prisma.probeLease.findMany({ select: { slot: true, holder: true } });
    const rounds = new Map(rows.map(({ id, roundFinishedAt }) => [id, roundFinishedAt]));
    const holders = new Map(leases.map(({ slot, holder }) => [slot, holder]));
    return (clusterId) => rounds.get(holders.get(this.#slots.slotOf(clusterId)) ?? '');
  }
}

/**
 * Whether a probe found the same as an earlier one. Version and identity are read rarely; an observation with one of them is
 * always compared with the stored row.
 */
function isSameObservation({ credentialsVersion, state, fault, version, identity }: Observation, before?: Observation) {
  if (!before || version !== undefined || identity !== undefined) return false;
  const isSameFault = fault?.code === before.fault?.code && fault?.message === before.fault?.message;
  return credentialsVersion === before.credentialsVersion && state === before.state && isSameFault;
}

interface StatusRow {
  readonly id: number;
  readonly uid: string;
  readonly name: string;
  readonly credentialsVersion: number;
  readonly enabled: boolean;
  readonly state: string;
  readonly version: string | null;
  readonly faultCode: string | null;
  readonly faultMessage: string | null;
  readonly identity: string | null;
  readonly otherIdentity: string | null;
}

/**
 * Matches the row only if it is as it was read. Replicas that share the database change the registry while statuses are
 * written: a probe that ends after its cluster was updated, disabled or deleted must change nothing.
 */
function whereUnchanged({ id, credentialsVersion, identity, otherIdentity }: StatusRow) {
  return { id, enabled: true, credentialsVersion, identity, otherIdentity };
}

/**
 * Whether storing the observation changes the row; false if the cluster was disabled or its credential replaced since.
 */
function changesRow(observation: Observation, row: StatusRow | undefined): boolean {
  if (!row?.enabled || row.credentialsVersion !== observation.credentialsVersion) return false;
  const { state, version, fault, identity } = observation;
  if (state !== row.state || (fault?.code ?? null) !== row.faultCode || (fault?.message ?? null) !== row.faultMessage)
    return true;
  if (version !== undefined && version !== row.version) return true;
  return Boolean(identity) && (row.identity === null || identity !== (row.otherIdentity ?? row.identity));
}

/** Reads the current fencing numbers of slots. */
async function fencesOf(tx: Transaction, slots: ReadonlySet<number>): Promise<ReadonlyMap<number, number>> {
  if (slots.size === 0) return new Map();
  const where = { slot: { in: [...slots] } };
  const found = await tx.probeLease.findMany({ where, select: { slot: true, fence: true } });
  return new Map(found.map(({ slot, fence }) => [slot, fence]));
}
