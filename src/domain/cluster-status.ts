export const CLUSTER_STATES = [
  'PENDING',
  'READY',
  'DEGRADED',
  'UNAUTHORIZED',
  'UNREACHABLE',
  'UNUSABLE',
  'DISABLED',
] as const;

export type ClusterState = (typeof CLUSTER_STATES)[number];

/** The status of a cluster before its first probe with the current credential. */
export function initialStatus({ enabled, problem }: { enabled: boolean; problem: string | null }) {
  if (!enabled) return { state: 'DISABLED', faultCode: null, faultMessage: null } as const;
  if (problem) return { state: 'UNUSABLE', faultCode: 'KUBECONFIG_UNUSABLE', faultMessage: problem } as const;
  return { state: 'PENDING', faultCode: null, faultMessage: null } as const;
}

/**
 * Resets the status for a new first probe. The new `credentialsVersion` invalidates earlier probes and those in
 * progress.
 */
export function resetStatus({ enabled, problem, at }: { enabled: boolean; problem: string | null; at: Date }) {
  return {
    ...initialStatus({ enabled, problem }),
    ...{ stateSince: at, observedAt: null, latencyMs: null },
    credentialsVersion: { increment: 1 },
  };
}
