import type { V1ResourceRule } from '@kubernetes/client-node';
import { ClusterError } from './cluster-error.ts';
import type { Call, Connection } from './connection.ts';
import { isRecord } from './redact.ts';

/** What a credential may do with resources, as the API server tells it. */
export interface AccessRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
}

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews';
const MAX_RULES = 500;
const MAX_TEXTS = 200;
const MAX_BYTES = 2 * 1024 * 1024;

/** What the credential may do in a namespace, by SelfSubjectRulesReview; undefined where the API server does not tell. */
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
      verbs: texts(verbs),
      apiGroups: texts(apiGroups),
      resources: texts(resources),
    }));
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    // Nothing depends on it: a server without the review is no worse a cluster.
    return undefined;
  }
}

function texts(values: unknown): string[] {
  return Array.isArray(values) ? values.slice(0, MAX_TEXTS).filter((value) => typeof value === 'string') : [];
}
