import type { ProbeTarget } from '../../kubernetes/prober/probe-target.ts';
import type { ChangeContext } from '../registry-change.ts';
import { REMEMBERED_CHANGES } from '../registry-change.ts';
import type { ProbeSlots } from './probe-slots.ts';

interface Row {
  readonly id: number;
  readonly uid: string;
  readonly credentialsVersion: number;
  readonly state: string;
}

const SELECT = {
  ...{ id: true, uid: true, credentialsVersion: true, state: true, registryChange: true },
  ...{ enabled: true, credentialProblem: true },
} as const;

/**
 * Milliseconds that this replica waits before it first probes a cluster that another replica created or changed: that
 * replica makes the first probe itself (docs/architecture.md).
 */
const FIRST_PROBE_ELSEWHERE_MS = 5_000;

/**
 * The clusters that this replica probes: the clusters in its slots, and, once each, clusters that its callers created,
 * changed or asked to probe.
 */
export class ProbeTargets {
  readonly #registry: ChangeContext;
  readonly #slots: ProbeSlots;
  /** Every enabled cluster with a usable credential, as of the registry counter `#at`. */
  readonly #rows = new Map<number, Row>();
  /** Uids of clusters that this replica probes once, whichever replica holds their slot. */
  readonly #once = new Set<string>();
  /** Uids of clusters in our slots that another replica probes first. */
  readonly #firstElsewhere = new Set<string>();
  #at: number | undefined;
  #version = 0;
  #known: { readonly version: string; readonly targets: readonly ProbeTarget[] } | undefined;

  constructor({ registry, slots }: { registry: ChangeContext; slots: ProbeSlots }) {
    this.#registry = registry;
    this.#slots = slots;
  }

  /** Returns the targets: the same array as before if nothing has changed. */
  async read(): Promise<readonly ProbeTarget[]> {
    await this.#readChanges();
    this.#dropUnusable();
    const version = `${this.#version}.${this.#slots.version}`;
    if (this.#known?.version === version) return this.#known.targets;
    const selected: ProbeTarget[] = [];
    for (const { id, ...target } of this.#rows.values()) {
      const lease = this.#slots.leaseOf(id);
      if (lease) selected.push({ ...target, lease, firstInMs: this.#firstProbeDelay(id, target) });
      else if (this.#once.has(target.uid)) selected.push({ ...target, once: true });
    }
    const targets = await this.#withFreshStates(selected);
    // The delay applies once: slots claimed later do not wait for another replica's first probe.
    this.#firstElsewhere.clear();
    this.#known = { version, targets };
    return targets;
  }

  /** Uids of every enabled cluster with a usable credential, whichever replica probes it. */
  usable(): ReadonlySet<string> {
    return new Set(Array.from(this.#rows.values(), ({ uid }) => uid));
  }

  /** Makes this replica probe a cluster once, whichever replica holds its slot. */
  probeHere(uid: string): void {
    if (!this.#slots.isShared || this.#once.has(uid)) return;
    this.#once.add(uid);
    this.#version++;
  }

  /** Ends the one-off probes of these clusters: call it when their results are stored. */
  markProbed(uids: Iterable<string>): void {
    for (const uid of uids) if (this.#once.delete(uid)) this.#version++;
  }

  /**
   * Returns the probe time of the last round per slot, in milliseconds; omits slots with a cluster that was not probed yet.
   * `latencyOf` returns the duration of a cluster's last probe; each probe counts as at least `MIN_PROBE_MS`.
   */
  loads(slots: Iterable<number>, latencyOf: (uid: string) => number | undefined): ReadonlyMap<number, number> {
    const loads = new Map(Array.from(slots, (slot) => [slot, 0]));
    for (const { id, uid } of this.#rows.values()) {
      const slot = this.#slots.slotOf(id);
      const load = loads.get(slot);
      const latency = latencyOf(uid);
      if (latency === undefined) loads.delete(slot);
      else if (load !== undefined) loads.set(slot, load + Math.max(latency, MIN_PROBE_MS));
    }
    return loads;
  }

  /**
   * Reads the changes since the last call. Reads everything on the first call, if deletes may have been missed because more
   * than `REMEMBERED_CHANGES` changes happened, and if the counter has regressed.
   */
  async #readChanges(): Promise<void> {
    const { database } = this.#registry;
    const { registry } = await database.counters();
    const since = this.#at;
    if (since === registry) return;
    const isFullRead = since === undefined || registry < since || registry - since > REMEMBERED_CHANGES;
    const registryChange = { gt: since ?? -1 };
    const where = isFullRead ? { enabled: true, credentialProblem: null } : { registryChange };
    const changed = await database.prisma.cluster.findMany({ where, select: SELECT });
    const gone = isFullRead ? [] : await database.prisma.clusterTombstone.findMany({ where: { registryChange } });
    if (isFullRead) this.#rows.clear();
    for (const { clusterId } of gone) this.#rows.delete(clusterId);
    for (const { enabled, credentialProblem, registryChange: number, ...row } of changed) {
      const before = this.#rows.get(row.id);
      if (!enabled || credentialProblem !== null) this.#rows.delete(row.id);
      else {
        this.#rows.set(row.id, row);
        if (!isFullRead && before?.credentialsVersion !== row.credentialsVersion) this.#assignFirstProbe(row, number);
      }
    }
    this.#at = registry;
    this.#version++;
  }

  /**
   * Drops one-off probe requests for clusters that are disabled or unusable: their callers have already been answered.
   */
  #dropUnusable(): void {
    if (this.#once.size === 0) return;
    const usable = this.usable();
    for (const uid of this.#once) if (!usable.has(uid)) this.#once.delete(uid);
  }

  /**
   * Re-reads the state of clusters that this replica has just taken over. Another replica probed them until now, so the
   * cached row may predate its last status write.
   */
  async #withFreshStates(targets: readonly ProbeTarget[]): Promise<readonly ProbeTarget[]> {
    if (!this.#slots.isShared) return targets;
    const fences = new Map(this.#known?.targets.map(({ uid, lease }) => [uid, lease?.fence]));
    const isNew = ({ uid, lease }: ProbeTarget) => !fences.has(uid) || fences.get(uid) !== lease?.fence;
    const uids = targets.filter(isNew).map(({ uid }) => uid);
    if (uids.length === 0) return targets;
    const where = { uid: { in: uids } };
    const rows = await this.#registry.database.prisma.cluster.findMany({ where, select: { uid: true, state: true } });
    const states = new Map(rows.map(({ uid, state }) => [uid, state]));
    return targets.map((target) => {
      const state = states.get(target.uid);
      return state === undefined ? target : { ...target, state };
    });
  }

  /**
   * Milliseconds before the first probe of a cluster; 0 if a caller of this replica has changed it or asked for the
   * probe.
   */
  #firstProbeDelay(id: number, { uid }: { uid: string }): number {
    if (this.#once.has(uid)) return 0;
    return Math.max(this.#slots.coolDownOf(id), this.#firstElsewhere.has(uid) ? FIRST_PROBE_ELSEWHERE_MS : 0);
  }

  /** The replica that committed a change makes the first probe after it. */
  #assignFirstProbe({ uid }: Row, registryChange: number): void {
    if (!this.#slots.isShared) return;
    if (this.#registry.ownChanges.has(registryChange)) this.#once.add(uid);
    else this.#firstElsewhere.add(uid);
  }
}

/** Least load of one probe in milliseconds, however near the cluster is: so that noise does not move slots. */
const MIN_PROBE_MS = 25;
