import type { ClusterKey } from '../transport/connections.ts';

/**
 * The right to probe the clusters of a slot. `fence` is a fencing token,
 * which increases with each take-over of the slot.
 */
export interface ProbeLease {
  readonly slot: number;
  readonly fence: number;
}

/** A cluster to probe. `state` is the stored state, which applies until the first probe. */
export interface ProbeTarget extends ClusterKey {
  readonly state?: string;
  /**
   * The lease under which this replica probes the cluster. Each result carries it; a new lease restarts the probing.
   */
  readonly lease?: ProbeLease | undefined;
  /**
   * Milliseconds until the first probe, because another replica probes the cluster first or has just done so.
   * Requested probes do not wait.
   */
  readonly firstInMs?: number;
  /** Probe the cluster only until there is a confirmed outcome; afterwards only on request. */
  readonly once?: boolean;
}

/** Whether a result for one target is also valid for the other. */
export function isSameTarget(left: ProbeTarget, right: ProbeTarget): boolean {
  return left.credentialsVersion === right.credentialsVersion && left.lease?.fence === right.lease?.fence;
}
