import type { ClusterKey } from './connections.ts';

/** The right to ask the clusters of a slot, and its fencing number: it grows with each take-over. */
export interface ProbeLease {
  readonly slot: number;
  readonly fence: number;
}

/** A cluster to probe. `state` is the stored one, which counts until the first attempt. */
export interface ProbeTarget extends ClusterKey {
  readonly state?: string;
  /** What it is probed under: each result carries it, and another begins anew. */
  readonly lease?: ProbeLease | undefined;
  /** Milliseconds for which it is left alone at first, unless somebody asks for it: another makes the first attempt, or has made its last just now. */
  readonly firstInMs?: number;
  /** It is tried until there is a result that counts, and then no more unless somebody asks for it. */
  readonly once?: boolean;
}

/** Whether what was found of one stands for the other. */
export function isSameTarget(left: ProbeTarget, right: ProbeTarget): boolean {
  return left.credentialsVersion === right.credentialsVersion && left.lease?.fence === right.lease?.fence;
}
