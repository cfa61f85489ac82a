import type { V1ResourceRule } from '@kubernetes/client-node';
import { ClusterError } from '../cluster-error.ts';
import type { Call } from '../transport/call.ts';
import type { Connection } from '../transport/connection.ts';
import { isRecord } from './redact.ts';

/** A permission of a credential, as reported by the API server. */
export interface AccessRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
}

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews';
const MAX_RULES = 500;
const MAX_STRINGS = 200;
const MAX_BYTES = 2 * 1024 * 1024;

/**
 * Reads the credential's permissions in a namespace with a
 * SelfSubjectRulesReview; undefined if the API server does not provide it.
 */
export async function readAccessRules(
  connection: Connection,
  namespace: string,
  call: Call,
): Promise<AccessRule[] | undefined> {
  const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview', spec: { namespace } };
  try {
    const { status } = await connection.read(REVIEWS, { ...call, method: 'POST', body, maxBytes: MAX_BYTES });
    if (!isRecord(status) || !Array.isArray(status.resourceRules)) return undefined;
    return (status.resourceRules as V1ResourceRule[]).slice(0, MAX_RULES).map(({ verbs, apiGroups, resources }) => ({
      verbs: stringsIn(verbs),
      apiGroups: stringsIn(apiGroups),
      resources: stringsIn(resources),
    }));
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    // The permissions are optional information, so a failed review does not fail the connection test.
    return undefined;
  }
}

function stringsIn(values: unknown): string[] {
  return Array.isArray(values) ? values.slice(0, MAX_STRINGS).filter((value) => typeof value === 'string') : [];
}
