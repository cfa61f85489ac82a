import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { ProbeLease } from '../../kubernetes/prober/probe-target.ts';
import { LEASE_MS, type Leases } from '../../storage/leases.ts';
import { planFor } from './probe-plan.ts';

/** Number of slots that clusters are distributed over. A slot is probed by one replica (docs/architecture.md). */
export const SLOTS = 256;
/** Milliseconds between two heartbeats. */
const HEARTBEAT_MS = 3_000;
/**
 * Milliseconds after which a free slot assigned to another replica is claimed if that replica has not taken it: its view may
 * be stale, or it may have crashed.
 */
const CLAIM_AFTER_MS = 400;
/**
 * Milliseconds for which the load must be uneven before slots move: that is three heartbeats in a row, with 500 ms of
 * tolerance for timers that fire early.
 */
const UNEVEN_MS = 2 * HEARTBEAT_MS - 500;
/** Weight of a new load measurement in the moving average (0 to 1). */
const SMOOTHING = 0.3;
/**
 * Milliseconds for which our leases are valid, counted from before the heartbeat is sent. The lease itself starts when the
 * heartbeat reaches the database, so this is always the shorter time.
 */
const VALID_MS = LEASE_MS - 500;

/** Callbacks of the prober, which uses the slots. */
export interface SlotListener {
  /** Called when the set of slots that this replica holds has changed. */
  readonly onChange: () => void;
  /** Returns the probe time of the last round per slot, in milliseconds; omits slots with clusters not probed yet. */
  readonly loads: (slots: Iterable<number>) => ReadonlyMap<number, number>;
  readonly onError: (error: unknown) => void;
}

/** A slot that this replica holds. `probeFrom` is the end of its cool-down on the monotonic clock, in milliseconds. */
interface HeldSlot {
  readonly fence: number;
  readonly probeFrom: number;
}

/**
 * The slots that this replica holds: it probes their clusters. A process that does not share the database holds all
 * slots.
 */
export class ProbeSlots {
  /** The id of this process, unique among all that ever share the database. */
  readonly replica: string;
  readonly #leases: Leases | undefined;
  readonly #held = new Map<number, HeldSlot>();
  readonly #loads = new Map<number, number>();
  /** Time since which every heartbeat has planned to give slots away; undefined if the last one has not. */
  #unevenSince: number | undefined;
  /** Free slots that are assigned to other replicas, and since when (monotonic milliseconds). */
  #assignedElsewhere: ReadonlyMap<number, number> = new Map();
  #validUntil = 0;
  #listener: SlotListener | undefined;
  #beating: Promise<void> | undefined;
  #isBeatRequested = false;
  #timers: NodeJS.Timeout[] = [];
  #stopListening = () => {};
  #version = 0;

  constructor({ leases }: { leases: Leases | undefined }) {
    this.#leases = leases;
    // A single process keeps its id across restarts, so that it finds the rounds it stored before.
    this.replica = leases ? `${hostname()}-${randomUUID().slice(0, 8)}` : hostname();
  }

  /** Whether other processes share the database, and so the probing. */
  get isShared(): boolean {
    return this.#leases !== undefined;
  }

  /** Increases whenever the set of held slots changes. */
  get version(): number {
    return this.#version;
  }

  /** Number of slots that this replica holds now. */
  get size(): number {
    return this.#leases ? (this.#isValid() ? this.#held.size : 0) : SLOTS;
  }

  /** The lease under which this replica may probe the cluster now; undefined if it does not hold the cluster's slot. */
  leaseOf(clusterId: number): ProbeLease | undefined {
    const slot = this.slotOf(clusterId);
    if (!this.#leases) return { slot, fence: 0 };
    const held = this.#isValid() ? this.#held.get(slot) : undefined;
    return held && { slot, fence: held.fence };
  }

  /**
   * Milliseconds of cool-down left before this replica may probe the cluster, because two others probed it just now.
   */
  coolDownOf(clusterId: number): number {
    const { probeFrom } = this.#held.get(this.slotOf(clusterId)) ?? {};
    return probeFrom === undefined ? 0 : Math.max(probeFrom - performance.now(), 0);
  }

  /** Whether this replica still holds the lease. */
  holds({ slot, fence }: ProbeLease): boolean {
    if (!this.#leases) return true;
    this.#expire();
    return this.#held.get(slot)?.fence === fence;
  }

  slotOf(clusterId: number): number {
    return clusterId % SLOTS;
  }

  /** Starts to claim slots and to balance them with the other replicas. */
  start(listener: SlotListener): void {
    if (!this.#leases || this.#listener) return;
    this.#listener = listener;
    this.#stopListening = this.#leases.onGiven(() => void this.#beat());
    this.#timers = [
      setInterval(() => void this.#beat(), HEARTBEAT_MS).unref(),
      setInterval(() => this.#expire(), HEARTBEAT_MS / 10).unref(),
    ];
    void this.#beat();
  }

  /** Releases all slots, so that other replicas claim them at once. Further calls do nothing. */
  async close(): Promise<void> {
    const listener = this.#listener;
    if (!this.#leases || !listener) return;
    this.#listener = undefined;
    for (const timer of this.#timers) clearInterval(timer);
    this.#stopListening();
    await this.#beating;
    this.#held.clear();
    this.#version++;
    await this.#leases.leave(this.replica).catch(listener.onError);
  }

  /** Sends one heartbeat at a time. A call while one is in progress causes exactly one more after it. */
  async #beat(): Promise<void> {
    if (this.#beating) {
      this.#isBeatRequested = true;
      return;
    }
    this.#beating = this.#renew().catch((error: unknown) => this.#listener?.onError(error));
    await this.#beating;
    this.#beating = undefined;
    if (!this.#isBeatRequested) return;
    this.#isBeatRequested = false;
    await this.#beat();
  }

  async #renew(): Promise<void> {
    const [leases, listener] = [this.#leases, this.#listener];
    if (!leases || !listener) return;
    this.#expire();
    const sentAt = performance.now();
    const view = await leases.heartbeat(this.replica, this.#smoothed(listener.loads(this.#held.keys())));
    if (!this.#listener) return;
    const before = new Map(this.#held);
    for (const { slot, holder, fence } of view.leases)
      if (holder !== this.replica || this.#held.get(slot)?.fence !== fence) this.#held.delete(slot);
    this.#validUntil = sentAt + VALID_MS;

    const plan = planFor(this.replica, view);
    const take = [...plan.take, ...this.#unclaimed(plan.leave, sentAt)];
    this.#unevenSince = plan.give.length > 0 ? (this.#unevenSince ?? sentAt) : undefined;
    const give = sentAt - (this.#unevenSince ?? sentAt) >= UNEVEN_MS ? plan.give : [];
    for (const slot of give) this.#held.delete(slot);
    // Stop probing before the slots are given away: their next holder may start at once.
    if (give.length > 0 || before.size !== this.#held.size) this.#notifyChange();
    if (give.length > 0) await leases.give(this.replica, give);
    if (take.length === 0) return;
    const loads = new Map(view.leases.map(({ slot, loadMs }) => [slot, loadMs]));
    for (const [slot, { fence, coolDownMs }] of await leases.take(this.replica, take)) {
      this.#held.set(slot, { fence, probeFrom: performance.now() + coolDownMs });
      this.#loads.set(slot, loads.get(slot) ?? 0);
    }
    this.#notifyChange();
  }

  /**
   * The slots that their assigned replica has not taken within `CLAIM_AFTER_MS`. For the others it schedules another
   * heartbeat.
   */
  #unclaimed(leave: readonly number[], now: number): number[] {
    const since = new Map(leave.map((slot) => [slot, this.#assignedElsewhere.get(slot) ?? now]));
    const unclaimed = [...since].flatMap(([slot, assignedAt]) => (now - assignedAt >= CLAIM_AFTER_MS ? slot : []));
    this.#assignedElsewhere = since;
    if (unclaimed.length < leave.length) setTimeout(() => void this.#beat(), CLAIM_AFTER_MS + 1).unref();
    return unclaimed;
  }

  /**
   * The moving average of the loads, since a single round may be slow by chance. A slot just claimed starts with the load
   * that its previous holder reported.
   */
  #smoothed(loads: ReadonlyMap<number, number>): ReadonlyMap<number, number> {
    for (const slot of this.#loads.keys()) if (!this.#held.has(slot)) this.#loads.delete(slot);
    for (const [slot, load] of loads) {
      const before = this.#loads.get(slot) || load;
      this.#loads.set(slot, before + SMOOTHING * (load - before));
    }
    return this.#loads;
  }

  #isValid(): boolean {
    return performance.now() < this.#validUntil;
  }

  /** Drops all slots if no heartbeat succeeded in time: other replicas may have claimed them. */
  #expire(): void {
    if (this.#held.size === 0 || this.#isValid()) return;
    this.#held.clear();
    this.#notifyChange();
  }

  #notifyChange(): void {
    this.#version++;
    this.#listener?.onChange();
  }
}
