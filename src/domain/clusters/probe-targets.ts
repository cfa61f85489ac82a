import type { ProbeTarget } from '../../kubernetes/probe-target.ts';
import { REMEMBERED_CHANGES } from './cluster-changes.ts';
import type { ProbeSlots } from './probe-slots.ts';
import type { ChangeContext } from './registry-change.ts';

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

/** Milliseconds that another replica has for a first attempt before this one makes it (docs/architecture.md). */
const ELSEWHERE_MS = 5_000;

/** What this replica probes: the clusters of its slots, and those whose first attempt is its own. */
export class ProbeTargets {
  readonly #registry: ChangeContext;
  readonly #slots: ProbeSlots;
  /** Every cluster that is enabled and usable, as of `#at`. */
  readonly #rows = new Map<number, Row>();
  /** Clusters of others' slots that are tried here once. */
  readonly #once = new Set<string>();
  /** Clusters of our slots that another replica tries first. */
  readonly #elsewhere = new Set<string>();
  #at: number | undefined;
  #version = 0;
  #known: { readonly version: string; readonly targets: readonly ProbeTarget[] } | undefined;

  constructor({ registry, slots }: { registry: ChangeContext; slots: ProbeSlots }) {
    this.#registry = registry;
    this.#slots = slots;
  }

  /** The targets; the same array for as long as nothing has changed. */
  async read(): Promise<readonly ProbeTarget[]> {
    await this.#follow();
    this.#forgetUnusable();
    const version = `${this.#version}.${this.#slots.version}`;
    if (this.#known?.version === version) return this.#known.targets;
    const given: ProbeTarget[] = [];
    for (const { id, ...target } of this.#rows.values()) {
      const lease = this.#slots.leaseOf(id);
      if (lease) given.push({ ...target, lease, firstInMs: this.#firstIn(id, target) });
      else if (this.#once.has(target.uid)) given.push({ ...target, once: true });
    }
    const targets = await this.#withStates(given);
    // Told once: what is taken over later does not wait for it.
    this.#elsewhere.clear();
    this.#known = { version, targets };
    return targets;
  }

  /** Every cluster that can be asked, by whichever replica. */
  usable(): ReadonlySet<string> {
    return new Set(Array.from(this.#rows.values(), ({ uid }) => uid));
  }

  /** Lets a cluster be tried here, whoever probes it. */
  probeHere(uid: string): void {
    if (!this.#slots.isShared || this.#once.has(uid)) return;
    this.#once.add(uid);
    this.#version++;
  }

  /** What is another's is its again once what was found here is stored. */
  markProbed(uids: Iterable<string>): void {
    for (const uid of uids) if (this.#once.delete(uid)) this.#version++;
  }

  /**
   * What the last round took of each of these slots; none for a slot with a cluster that was not tried yet. `latencyOf` tells
   * a cluster's, which costs some itself.
   */
  loads(slots: Iterable<number>, latencyOf: (uid: string) => number | undefined): ReadonlyMap<number, number> {
    const loads = new Map(Array.from(slots, (slot) => [slot, 0]));
    for (const { id, uid } of this.#rows.values()) {
      const slot = this.#slots.slotOf(id);
      const load = loads.get(slot);
      const latency = latencyOf(uid);
      if (latency === undefined) loads.delete(slot);
      else if (load !== undefined) loads.set(slot, load + Math.max(latency, LEAST_MS));
    }
    return loads;
  }

  /** Reads what changed since the last look; all of it at first, after more changes than deletes are remembered for, and where it went back. */
  async #follow(): Promise<void> {
    const { database } = this.#registry;
    const { registry } = await database.counters();
    const since = this.#at;
    if (since === registry) return;
    const isWhole = since === undefined || registry < since || registry - since > REMEMBERED_CHANGES;
    const registryChange = { gt: since ?? -1 };
    const where = isWhole ? { enabled: true, credentialProblem: null } : { registryChange };
    const changed = await database.prisma.cluster.findMany({ where, select: SELECT });
    const gone = isWhole ? [] : await database.prisma.clusterTombstone.findMany({ where: { registryChange } });
    if (isWhole) this.#rows.clear();
    for (const { clusterId } of gone) this.#rows.delete(clusterId);
    for (const { enabled, credentialProblem, registryChange: number, ...row } of changed) {
      const before = this.#rows.get(row.id);
      if (!enabled || credentialProblem !== null) this.#rows.delete(row.id);
      else {
        this.#rows.set(row.id, row);
        if (!isWhole && before?.credentialsVersion !== row.credentialsVersion) this.#first(row, number);
      }
    }
    this.#at = registry;
    this.#version++;
  }

  /** Whoever asked for what cannot be tried has had the answer. */
  #forgetUnusable(): void {
    if (this.#once.size === 0) return;
    const usable = this.usable();
    for (const uid of this.#once) if (!usable.has(uid)) this.#once.delete(uid);
  }

  /** What begins here was asked by another until now: its row tells of no state since the registry changed it. */
  async #withStates(targets: readonly ProbeTarget[]): Promise<readonly ProbeTarget[]> {
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

  /** What somebody here has changed is tried at once, whoever has asked it. */
  #firstIn(id: number, { uid }: { uid: string }): number {
    if (this.#once.has(uid)) return 0;
    return Math.max(this.#slots.coolDownOf(id), this.#elsewhere.has(uid) ? ELSEWHERE_MS : 0);
  }

  #first({ uid }: Row, number: number): void {
    if (!this.#slots.isShared) return;
    if (this.#registry.own.has(number)) this.#once.add(uid);
    else this.#elsewhere.add(uid);
  }
}

/** What an attempt costs at least, wherever the cluster is: so that noise moves no slots. */
const LEAST_MS = 25;
