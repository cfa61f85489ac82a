import type { Transaction } from './database.ts';

/** Milliseconds that a lease lasts without a heartbeat, by the database's clock (docs/architecture.md). */
export const LEASE_MS = 10_000;
/** Milliseconds within which no third replica asks a slot's clusters: the 10 s that are promised, and what an ask is under way. */
export const COOL_DOWN_MS = 12_000;

/** A slot as it stands: who holds it, unless nobody does or the lease has run out. */
export interface Lease {
  readonly slot: number;
  readonly holder: string | undefined;
  readonly fence: number;
  readonly loadMs: number;
}

/** A slot that was taken. */
export interface TakenLease {
  readonly fence: number;
  /** Milliseconds for which nothing of it is asked: two others have done so just now. */
  readonly coolDownMs: number;
}

/** Milliseconds after its last heartbeat for which a replica is counted on: a heartbeat, and half of one. */
export const COUNTED_MS = 4_500;
/** Milliseconds that lie between its first heartbeat and its last by then: one that keeps dying would have slots left to it. */
export const PROVEN_MS = 2_000;

/** What a heartbeat shows: the replicas that are counted on, the one that asks among them, and every slot. */
export interface LeaseView {
  readonly replicas: readonly string[];
  readonly leases: readonly Lease[];
}

/** The leases of slots that replicas share. Every time in it is the database's. */
export interface Leases {
  /** Shows that a replica is there, renews what it holds with the load of each, and gives what stands afterwards. */
  heartbeat(replica: string, loads: ReadonlyMap<number, number>): Promise<LeaseView>;
  /** Takes slots that nobody holds; gives those it got. */
  take(replica: string, slots: readonly number[]): Promise<ReadonlyMap<number, TakenLease>>;
  /** Gives slots up, and tells the others. */
  give(replica: string, slots: readonly number[]): Promise<void>;
  /** Gives everything up: the replica is there no more. */
  leave(replica: string): Promise<void>;
  /** Calls `listener` when a replica gave something up; gives what ends that. */
  onGiven(listener: () => void): () => void;
}

/** The fencing numbers of slots, as they stand. */
export async function fencesOf(tx: Transaction, slots: ReadonlySet<number>): Promise<ReadonlyMap<number, number>> {
  if (slots.size === 0) return new Map();
  const where = { slot: { in: [...slots] } };
  const found = await tx.probeLease.findMany({ where, select: { slot: true, fence: true } });
  return new Map(found.map(({ slot, fence }) => [slot, fence]));
}
