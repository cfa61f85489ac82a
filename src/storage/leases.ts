/** Milliseconds after its last heartbeat at which a lease expires, by the database's clock (docs/architecture.md). */
export const LEASE_MS = 10_000;
/**
 * Cool-down, in milliseconds: no third replica probes the clusters of a slot within this time. It covers the promised
 * 10 s and the duration of one probe.
 */
export const COOL_DOWN_MS = 12_000;

/** The current lease of a slot. `holder` is undefined if no replica has held the slot yet or the lease has expired. */
export interface Lease {
  readonly slot: number;
  readonly holder: string | undefined;
  readonly fence: number;
  readonly loadMs: number;
}

/** The lease of a slot that a replica has just claimed. */
interface TakenLease {
  readonly fence: number;
  /** Milliseconds to wait before probing the slot's clusters, because two other replicas have just probed them. */
  readonly coolDownMs: number;
}

/** Milliseconds after its last heartbeat during which a replica counts as live: one and a half heartbeat intervals. */
export const COUNTED_MS = 4_500;
/**
 * Milliseconds that must lie between the first and the latest heartbeat of a replica before it counts as live.
 * Otherwise slots would be assigned to a replica that keeps crashing.
 */
export const PROVEN_MS = 2_000;

/**
 * The result of a heartbeat: the live replicas, including the one that sent the heartbeat, and the lease of every slot.
 */
export interface LeaseView {
  readonly replicas: readonly string[];
  readonly leases: readonly Lease[];
}

/** The leases by which replicas divide the slots among themselves. All times use the database's clock. */
export interface Leases {
  /**
   * Records that a replica is live and renews the leases of its slots. `loads` maps each slot to its load in
   * milliseconds. Returns the state after the renewal.
   */
  heartbeat(replica: string, loads: ReadonlyMap<number, number>): Promise<LeaseView>;
  /** Claims free slots. Returns the slots that were still free and now belong to the replica. */
  take(replica: string, slots: readonly number[]): Promise<ReadonlyMap<number, TakenLease>>;
  /** Releases slots and notifies the other replicas. */
  give(replica: string, slots: readonly number[]): Promise<void>;
  /** Releases every slot and marks the replica as gone. */
  leave(replica: string): Promise<void>;
  /** Calls `listener` when a replica releases slots. Returns a function that removes the listener. */
  onGiven(listener: () => void): () => void;
}
