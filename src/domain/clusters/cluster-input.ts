import type { ClusterQuery } from '../access/clusters.ts';
import type { CredentialInput, Verification } from '../credentials/credential-input.ts';
import type { InputIssue } from '../errors.ts';
import type { ChangeCluster } from '../registry-change.ts';
import type { Label } from './cluster.ts';

/**
 * An absent field keeps its value (on create: takes its default). Null clears the field; for a field that cannot be cleared,
 * null is INVALID_INPUT.
 */
interface ClusterInput {
  readonly description?: string | null | undefined;
  readonly labels?: readonly Label[] | null | undefined;
  readonly credential?: CredentialInput | null | undefined;
  readonly prometheusURL?: string | null | undefined;
  readonly isDefault?: boolean | null | undefined;
  readonly enabled?: boolean | null | undefined;
  readonly verify?: Verification | null | undefined;
}

export interface CreateCluster extends ClusterInput {
  readonly name: string;
}

export interface UpdateCluster extends ClusterInput, ChangeCluster {
  readonly name?: string | null | undefined;
  /** With CONNECT: accepts a credential for a different cluster, which is otherwise DIFFERENT_CLUSTER. */
  readonly allowDifferentCluster?: boolean | null | undefined;
}

/** The fields to return for the changed cluster and for the previous default cluster. */
export interface ChangeQueries {
  readonly cluster: ClusterQuery;
  readonly previousDefault?: ClusterQuery;
}

/**
 * Rejects null: a client that forgets to set its variable would otherwise overwrite changes that it wants to protect.
 */
export function validateExpectedRevision({ expectedRevision }: ChangeCluster, issues: InputIssue[]): void {
  if (expectedRevision === null)
    issues.push({ path: ['expectedRevision'], message: 'cannot be null: leave it out to accept any revision' });
}
