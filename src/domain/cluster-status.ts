import type { Transaction } from '../storage/database.ts';

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

/** Resets the status of every cluster that is probed, after an earlier state of the database has been restored. */
export async function resetRestoredStatuses(tx: Transaction, at: Date): Promise<void> {
  await tx.cluster.updateMany({
    // A probe makes a cluster UNUSABLE too: one whose kubeconfig could not be decrypted. It is probed again.
    where: { enabled: true, credentialProblem: null },
    data: {
      ...initialStatus({ enabled: true, problem: null }),
      ...{ stateSince: at, observedAt: null, latencyMs: null, version: null },
    },
  });
}
