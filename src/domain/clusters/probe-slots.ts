import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { ProbeLease } from '../../kubernetes/probe-target.ts';
import { LEASE_MS, type Leases } from '../../storage/leases.ts';
import { planFor } from './probe-plan.ts';

/** Clusters fall into so many slots, which replicas share (docs/architecture.md). */
export const SLOTS = 256;
/** Milliseconds between two heartbeats. */
const HEARTBEAT_MS = 3_000;
/** Milliseconds after which a slot that was left to another is taken all the same: views differ, and replicas die. */
const LEFT_MS = 400;
/** Milliseconds for which a share has to be uneven before anything moves: at three heartbeats, of which a timer may be early. */
const LASTING_MS = 2 * HEARTBEAT_MS - 500;
/** How much of a new load counts at once. */
const SMOOTHING = 0.3;
/** A lease begins when the heartbeat comes to the database: counted from before it was sent, less is safe. */
const VALID_MS = LEASE_MS - 500;

/** What the slots need of whoever probes. */
export interface SlotListener {
  /** Told when this replica holds others than before. */
  readonly onChange: () => void;
  /** What the last round took of each of these slots, in milliseconds; none for a slot that was not tried whole yet. */
  readonly loads: (slots: Iterable<number>) => ReadonlyMap<number, number>;
  readonly onError: (error: unknown) => void;
}

/** A slot that is held, and from when on its clusters are asked, by the monotonic clock. */
interface Held {
  readonly fence: number;
  readonly askFrom: number;
}

/** The slots whose clusters this replica probes: all of them, where no other process shares the work. */
export class ProbeSlots {
  /** This process, among all that ever share the database. */
  readonly replica: string;
  readonly #leases: Leases | undefined;
  readonly #held = new Map<number, Held>();
  readonly #loads = new Map<number, number>();
  /** Since when something was to be given at each heartbeat. */
  #unevenSince: number | undefined;
  /** Slots that nobody holds and that are left to others, and since when. */
  #left: ReadonlyMap<number, number> = new Map();
  #validUntil = 0;
  #follower: SlotListener | undefined;
  #beating: Promise<void> | undefined;
  #isLate = false;
  #timers: NodeJS.Timeout[] = [];
  #stopListening = () => {};
  #version = 0;

  constructor({ leases }: { leases: Leases | undefined }) {
    this.#leases = leases;
    // Where it is alone, a restart goes on where the process before ended.
    this.replica = leases ? `${hostname()}-${randomUUID().slice(0, 8)}` : hostname();
  }

  /** Whether other processes may probe what this one does not. */
  get isShared(): boolean {
    return this.#leases !== undefined;
  }

  /** Moves whenever what is held changes. */
  get version(): number {
    return this.#version;
  }

  /** Slots that are held now. */
  get size(): number {
    return this.#leases ? (this.#isValid() ? this.#held.size : 0) : SLOTS;
  }

  /** The lease under which a cluster may be asked now; undefined where that is another's. */
  leaseOf(clusterId: number): ProbeLease | undefined {
    const slot = this.slotOf(clusterId);
    if (!this.#leases) return { slot, fence: 0 };
    const held = this.#isValid() ? this.#held.get(slot) : undefined;
    return held && { slot, fence: held.fence };
  }

  /** Milliseconds for which a cluster is left alone, where two others have asked it just now. */
  coolDownOf(clusterId: number): number {
    const { askFrom } = this.#held.get(this.slotOf(clusterId)) ?? {};
    return askFrom === undefined ? 0 : Math.max(askFrom - performance.now(), 0);
  }

  /** Whether what was to be asked under a lease may be asked still. */
  holds({ slot, fence }: ProbeLease): boolean {
    if (!this.#leases) return true;
    this.#expire();
    return this.#held.get(slot)?.fence === fence;
  }

  slotOf(clusterId: number): number {
    return clusterId % SLOTS;
  }

  /** Begins to take a share, and keeps it even. */
  start(follower: SlotListener): void {
    if (!this.#leases || this.#follower) return;
    this.#follower = follower;
    this.#stopListening = this.#leases.onGiven(() => void this.#beat());
    this.#timers = [
      setInterval(() => void this.#beat(), HEARTBEAT_MS).unref(),
      setInterval(() => this.#expire(), HEARTBEAT_MS / 10).unref(),
    ];
    void this.#beat();
  }

  /** Gives everything up, so that others take it at once; again does nothing. */
  async close(): Promise<void> {
    const follower = this.#follower;
    if (!this.#leases || !follower) return;
    this.#follower = undefined;
    for (const timer of this.#timers) clearInterval(timer);
    this.#stopListening();
    await this.#beating;
    this.#held.clear();
    this.#version++;
    await this.#leases.leave(this.replica).catch(follower.onError);
  }

  /** One heartbeat at a time; whoever asks while one is under way gets another after it. */
  async #beat(): Promise<void> {
    if (this.#beating) {
      this.#isLate = true;
      return;
    }
    this.#beating = this.#renew().catch((error: unknown) => this.#follower?.onError(error));
    await this.#beating;
    this.#beating = undefined;
    if (!this.#isLate) return;
    this.#isLate = false;
    await this.#beat();
  }

  async #renew(): Promise<void> {
    const [leases, follower] = [this.#leases, this.#follower];
    if (!leases || !follower) return;
    this.#expire();
    const sentAt = performance.now();
    const view = await leases.heartbeat(this.replica, this.#smoothed(follower.loads(this.#held.keys())));
    if (!this.#follower) return;
    const before = new Map(this.#held);
    for (const { slot, holder, fence } of view.leases)
      if (holder !== this.replica || this.#held.get(slot)?.fence !== fence) this.#held.delete(slot);
    this.#validUntil = sentAt + VALID_MS;

    const plan = planFor(this.replica, view);
    const take = [...plan.take, ...this.#orphaned(plan.leave, sentAt)];
    this.#unevenSince = plan.give.length > 0 ? (this.#unevenSince ?? sentAt) : undefined;
    const give = sentAt - (this.#unevenSince ?? sentAt) >= LASTING_MS ? plan.give : [];
    for (const slot of give) this.#held.delete(slot);
    // Others may ask its clusters as soon as it is given: this one stops before.
    if (give.length > 0 || before.size !== this.#held.size) this.#tellChange();
    if (give.length > 0) await leases.give(this.replica, give);
    if (take.length === 0) return;
    const loads = new Map(view.leases.map(({ slot, loadMs }) => [slot, loadMs]));
    for (const [slot, { fence, coolDownMs }] of await leases.take(this.replica, take)) {
      this.#held.set(slot, { fence, askFrom: performance.now() + coolDownMs });
      this.#loads.set(slot, loads.get(slot) ?? 0);
    }
    this.#tellChange();
  }

  /** Of the slots that are left to others, those that were for long enough; what is left just now is looked at again then. */
  #orphaned(leave: readonly number[], now: number): number[] {
    const since = new Map(leave.map((slot) => [slot, this.#left.get(slot) ?? now]));
    const orphaned = [...since].flatMap(([slot, left]) => (now - left >= LEFT_MS ? slot : []));
    this.#left = since;
    if (orphaned.length < leave.length) setTimeout(() => void this.#beat(), LEFT_MS + 1).unref();
    return orphaned;
  }

  /** One round may take longer than those around it by chance; what was just taken weighs what it did before. */
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

  /** Without a heartbeat in time others may have taken what was held here. */
  #expire(): void {
    if (this.#held.size === 0 || this.#isValid()) return;
    this.#held.clear();
    this.#tellChange();
  }

  #tellChange(): void {
    this.#version++;
    this.#follower?.onChange();
  }
}
