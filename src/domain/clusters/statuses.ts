import type { ProbeLease } from '../../kubernetes/probe-target.ts';
import type { Database, Transaction } from '../../storage/database.ts';
import { fencesOf } from '../../storage/leases.ts';
import { systemCaller } from '../access/system-caller.ts';
import { record } from '../audit.ts';
import type { ClusterState } from './cluster.ts';
import type { ProbeSlots } from './probe-slots.ts';

/** What an attempt to reach a cluster found, under the credential it was made with. */
export interface Observation {
  readonly uid: string;
  readonly credentialsVersion: number;
  readonly state: ClusterState;
  /** Absent when it was not asked for: the one that stands is kept. */
  readonly version?: string;
  readonly latencyMs: number;
  readonly fault?: { readonly code: string; readonly message: string };
  /** The UID of kube-system; null where the credential may not read it, absent when it was not asked for. */
  readonly identity?: string | null;
  readonly observedAt: Date;
  /** The lease that it was found under; none where the cluster is asked whoever holds it. */
  readonly lease?: ProbeLease | undefined;
}

interface Seen {
  readonly credentialsVersion: number;
  readonly observedAt: Date;
  readonly latencyMs: number;
}

/** When every cluster was tried at least once by whoever probes the one of this id. */
type RoundOf = (clusterId: number) => Date | null | undefined;

const ROUND_REUSE_MS = 1_000;
/** By how much the clocks of replicas may differ at most. */
const SKEW_MS = 60_000;

/**
 * Keeps what is observed of clusters. A state is stored when it changes, and only for the credential and the cluster it
 * was obtained with; the time of the last attempt is exact on the replica that makes them.
 */
export class Statuses {
  readonly #database: Database;
  readonly #slots: ProbeSlots;
  readonly #seen = new Map<string, Seen>();
  /** What was found to stand already, as long as no state has changed by whomever: the same again costs no read. */
  #standing: { status: number; found: Map<string, Observation> } = { status: -1, found: new Map() };
  #rounds: { at: number; finishedAt: Promise<RoundOf> } | undefined;

  constructor({ database, slots }: { database: Database; slots: ProbeSlots }) {
    this.#database = database;
    this.#slots = slots;
  }

  /** Stores a batch; what stands already costs no write, and no read where it was seen to stand. */
  async store(observations: readonly Observation[]): Promise<void> {
    for (const { uid, credentialsVersion, observedAt, latencyMs } of observations)
      if ((this.#seen.get(uid)?.credentialsVersion ?? 0) <= credentialsVersion)
        this.#seen.set(uid, { credentialsVersion, observedAt, latencyMs });
    const { status } = await this.#database.counters();
    if (this.#standing.status !== status) this.#standing = { status, found: new Map() };
    const { found } = this.#standing;
    const perhaps = observations.filter((observation) => !isAsBefore(observation, found.get(observation.uid)));
    if (perhaps.length === 0) return;
    const uids = perhaps.map(({ uid }) => uid);
    const rows = await this.#database.prisma.cluster.findMany({ where: { uid: { in: uids } } });
    const byUid = new Map(rows.map((row) => [row.uid, row]));
    const changed = perhaps.filter((observation) => differs(observation, byUid.get(observation.uid)));
    for (const observation of perhaps) if (!changed.includes(observation)) found.set(observation.uid, observation);
    if (changed.length === 0) return;
    await this.#database.write('status', async (tx, { status = 0 }) => {
      const leases = this.#slots.isShared ? changed.flatMap(({ lease }) => lease ?? []) : [];
      const fences = await fencesOf(tx, new Set(leases.map(({ slot }) => slot)));
      // Read again under the lock, which other results wait for.
      const now = await tx.cluster.findMany({ where: { uid: { in: changed.map(({ uid }) => uid) } } });
      const current = new Map(now.map((row) => [row.uid, row]));
      for (const observation of changed)
        if (!this.#isOutdated(observation, fences))
          await this.#apply(tx, observation, current.get(observation.uid), status);
    });
  }

  /** When a cluster was tried last, and how long that took; null before the first attempt under this credential. */
  async lastSeen(row: {
    id: number;
    uid: string;
    credentialsVersion: number;
    observedAt: Date | null;
    latencyMs: number | null;
  }): Promise<{ observedAt: Date | null; latencyMs: number | null }> {
    const known = this.#seen.get(row.uid);
    const seen = known?.credentialsVersion === row.credentialsVersion ? known : undefined;
    // Exact where it is probed; elsewhere as of the last round there.
    if (seen && this.#slots.leaseOf(row.id)) return seen;
    if (!row.observedAt) return seen ?? { observedAt: null, latencyMs: null };
    const times = [row.observedAt, seen?.observedAt, await this.#lastRound(row.id)].map((time) => time?.getTime() ?? 0);
    const now = Date.now();
    // Later than clocks of replicas differ: stored by a clock that ran ahead.
    const credible = times.filter((time) => time <= now + SKEW_MS);
    const latest = Math.min(Math.max(...credible, 0), now);
    const observedAt = latest === 0 ? null : new Date(latest);
    return { observedAt, latencyMs: seen?.latencyMs ?? row.latencyMs };
  }

  /** How long the last attempt of this replica took; undefined where it made none. */
  latencyOf(uid: string): number | undefined {
    return this.#seen.get(uid)?.latencyMs;
  }

  /** Every cluster with its state, and how long the last attempt of this replica took. */
  async sample(): Promise<{ name: string; state: string; latencyMs: number | null }[]> {
    const rows = await this.#database.prisma.cluster.findMany({
      select: { uid: true, name: true, state: true },
      orderBy: { id: 'asc' },
    });
    return rows.map(({ uid, name, state }) => ({ name, state, latencyMs: this.#seen.get(uid)?.latencyMs ?? null }));
  }

  /** Marks that this replica has tried every cluster since then. */
  async finishRound(roundFinishedAt: Date): Promise<void> {
    const id = this.#slots.replica;
    await this.#database.prisma.replica.upsert({
      where: { id },
      create: { id, roundFinishedAt },
      update: { roundFinishedAt },
    });
  }

  /** Offers the Prometheus that was found in a cluster; null when none was. */
  async storeDiscoveredPrometheus(
    cluster: { uid: string; credentialsVersion: number },
    url: string | null,
  ): Promise<void> {
    const where = { ...cluster, enabled: true, NOT: { discoveredPrometheusURL: url } };
    // SQL's NULL differs from nothing, so a first offer needs a where of its own.
    const first = { ...cluster, enabled: true, discoveredPrometheusURL: null };
    const stale = { OR: url === null ? [{ ...cluster, discoveredPrometheusURL: { not: null } }] : [where, first] };
    if ((await this.#database.prisma.cluster.count({ where: stale })) === 0) return;
    await this.#database.write('status', (tx, { status = 0 }) =>
      tx.cluster.updateMany({ where: stale, data: { discoveredPrometheusURL: url, statusChange: status } }),
    );
  }

  /** Forgets what is held of clusters that are no more. */
  keepOnly(uids: ReadonlySet<string>): void {
    for (const uid of this.#seen.keys()) if (!uids.has(uid)) this.#seen.delete(uid);
    for (const uid of this.#standing.found.keys()) if (!uids.has(uid)) this.#standing.found.delete(uid);
  }

  /** Whether a lease was taken from whoever found this; where nobody else probes there is none to lose. */
  #isOutdated({ lease }: Observation, fences: ReadonlyMap<number, number>): boolean {
    return this.#slots.isShared && lease !== undefined && fences.get(lease.slot) !== lease.fence;
  }

  async #apply(
    tx: Transaction,
    observation: Observation,
    current: Standing | undefined,
    statusChange: number,
  ): Promise<void> {
    const { state, version, fault, identity, observedAt, latencyMs } = observation;
    if (!current || !differs(observation, current)) return;
    const other = identity && current.identity && identity !== current.identity ? identity : null;
    const { count } = await tx.cluster.updateMany({
      where: asRead(current),
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

  /** The end of the last round of whoever probes a cluster, or did last. */
  async #lastRound(clusterId: number): Promise<Date | null | undefined> {
    const now = performance.now();
    if (!this.#rounds || now - this.#rounds.at > ROUND_REUSE_MS) {
      const rounds = { at: now, finishedAt: this.#readRounds() };
      this.#rounds = rounds;
      rounds.finishedAt.catch(() => {
        if (this.#rounds === rounds) this.#rounds = undefined;
      });
    }
    return (await this.#rounds.finishedAt)(clusterId);
  }

  async #readRounds(): Promise<RoundOf> {
    const { prisma } = this.#database;
    const rows = await prisma.replica.findMany({ orderBy: { roundFinishedAt: { sort: 'asc', nulls: 'first' } } });
    // Where one process probes alone, a restart may have given it another name.
    if (!this.#slots.isShared) return () => rows.at(-1)?.roundFinishedAt;
    const leases = await prisma.probeLease.findMany({ select: { slot: true, holder: true } });
    const rounds = new Map(rows.map(({ id, roundFinishedAt }) => [id, roundFinishedAt]));
    const holders = new Map(leases.map(({ slot, holder }) => [slot, holder]));
    return (clusterId) => rounds.get(holders.get(this.#slots.slotOf(clusterId)) ?? '');
  }
}

/** Whether an attempt found just what one before it did; what is asked rarely is always looked at. */
function isAsBefore({ credentialsVersion, state, fault, version, identity }: Observation, before?: Observation) {
  if (!before || version !== undefined || identity !== undefined) return false;
  const isSameFault = fault?.code === before.fault?.code && fault?.message === before.fault?.message;
  return credentialsVersion === before.credentialsVersion && state === before.state && isSameFault;
}

interface Standing {
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
 * A row as it was read: where replicas share the database, changes of the registry go on beside those of states, and a
 * probe that ends after an update, a disable or a delete changes nothing.
 */
function asRead({ id, credentialsVersion, identity, otherIdentity }: Standing) {
  return { id, enabled: true, credentialsVersion, identity, otherIdentity };
}

/** Whether an observation says anything new of a cluster that is still the one it was made of. */
function differs(observation: Observation, row: Standing | undefined): boolean {
  if (!row?.enabled || row.credentialsVersion !== observation.credentialsVersion) return false;
  const { state, version, fault, identity } = observation;
  if (state !== row.state || (fault?.code ?? null) !== row.faultCode || (fault?.message ?? null) !== row.faultMessage)
    return true;
  if (version !== undefined && version !== row.version) return true;
  return Boolean(identity) && (row.identity === null || identity !== (row.otherIdentity ?? row.identity));
}
