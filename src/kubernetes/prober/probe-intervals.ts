// When a cluster is probed next, and what for.

/**
 * Milliseconds between probes of a healthy cluster, varied at random by up to
 * 20 % in both directions (docs/architecture.md).
 */
const ROUND_MS = 30_000;
const ROUND_SPREAD = 0.2;
/** Milliseconds between reads of a cluster's version and identity (docs/architecture.md). */
const DETAILS_MS = 10 * 60_000;
/**
 * Milliseconds between the first failed probe of a READY cluster and the second, which must fail too to change the
 * status (docs/architecture.md).
 */
export const CONFIRM_MS = 1_000;
/**
 * Minimum and maximum milliseconds between probes of a failing cluster:
 * exponential backoff with full jitter (docs/architecture.md).
 */
const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
/**
 * Doublings of the 1 s wait after a ResourceError: up to 16 s, so that
 * thousands of clusters do not exhaust the resource again.
 */
const MAX_RESOURCE_WAIT_DOUBLINGS = 4;

/** The results of earlier probes of a cluster, which decide when and how it is probed next. */
export interface ProbeHistory {
  state: string | undefined;
  /** Consecutive failed probes. */
  failures: number;
  /** Consecutive ResourceErrors. */
  resourceErrors: number;
  /** Whether a caller waits for the probe. */
  isRequested: boolean;
  /** When version or identity was last read, as a `Clock.elapsed()` time. */
  detailsAt: number;
}

export function isHealthy(state: string | undefined): boolean {
  return state === 'READY' || state === 'DEGRADED';
}

/** Whether a probe at this `Clock.elapsed()` time reads version and identity too. */
export function needsDetails({ isRequested, state, detailsAt }: ProbeHistory, now: number): boolean {
  return isRequested || !isHealthy(state) || now - detailsAt >= DETAILS_MS;
}

/** Milliseconds until the next probe after a result. */
export function delayUntilNextProbe({ failures }: ProbeHistory, random: () => number): number {
  if (failures === 0) return ROUND_MS * (1 + ROUND_SPREAD * (2 * random() - 1));
  const maxWaitMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** failures);
  return BACKOFF_MIN_MS + random() * (maxWaitMs - BACKOFF_MIN_MS);
}

/** Milliseconds until the next probe after an error on our side, which says nothing about the cluster. */
export function delayAfterOwnError({ resourceErrors }: ProbeHistory): number {
  return CONFIRM_MS * 2 ** Math.min(resourceErrors, MAX_RESOURCE_WAIT_DOUBLINGS);
}
