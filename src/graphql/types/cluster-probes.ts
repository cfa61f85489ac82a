import type { ConnectionTestResult } from '../../domain/probing/cluster-probes.ts';
import { builder } from '../builder.ts';
import { Cluster, ClusterStateEnum } from './cluster.ts';
import { ClusterCredentialInput } from './cluster-inputs.ts';
import { ClusterByInput, clusterBy, clusterQuery } from './cluster-queries.ts';
import { ConnectionFailedError, NotFoundError, RevisionConflictError } from './errors.ts';
import { addMutation } from './mutation.ts';

type Rule = NonNullable<ConnectionTestResult['rules']>[number];

const PermissionRule = builder.objectRef<Rule>('PermissionRule').implement({
  description: 'The actions that a credential allows on some resources. `*` stands for all.',
  fields: (t) => ({
    verbs: t.stringList({
      description: 'The allowed verbs, such as `get`, `list`, `watch`.',
      resolve: ({ verbs }) => [...verbs],
    }),
    apiGroups: t.stringList({
      description: 'The API groups. The empty string is the core group.',
      resolve: ({ apiGroups }) => [...apiGroups],
    }),
    resources: t.stringList({
      description: 'The resources, such as `pods`.',
      resolve: ({ resources }) => [...resources],
    }),
  }),
});

const TestConnectionSuccess = builder.objectRef<ConnectionTestResult>('TestConnectionSuccess').implement({
  description: 'The cluster accepted the credential.',
  fields: (t) => ({
    state: t.expose('state', { type: ClusterStateEnum, description: 'The state that was found: READY or DEGRADED.' }),
    version: t.string({
      nullable: true,
      description: 'The Kubernetes version of the cluster, such as `v1.31.0`; null if the cluster does not report it.',
      resolve: ({ version }) => version ?? null,
    }),
    latencyMs: t.float({
      description: 'The time until the cluster responded, in milliseconds.',
      resolve: ({ latencyMs }) => Math.round(latencyMs * 10) / 10,
    }),
    identity: t.string({
      nullable: true,
      description:
        'The UID of the namespace kube-system, which identifies the cluster; null if the credential may not read it.',
      resolve: ({ identity }) => identity ?? null,
    }),
    permissions: t.field({
      type: [PermissionRule],
      nullable: true,
      description:
        'The permissions of the credential in its namespace, from a SelfSubjectRulesReview; null if the cluster does not return them.',
      resolve: ({ rules }) => (rules ? [...rules] : null),
    }),
  }),
});

const TestConnectionInput = builder.inputType('TestConnectionInput', {
  description: 'The credential or the registered cluster to test. Exactly one field must be set.',
  isOneOf: true,
  fields: (t) => ({
    credential: t.field({ type: ClusterCredentialInput, description: 'A credential to test without storing it.' }),
    cluster: t.field({ type: ClusterByInput, description: 'A registered cluster to test with its stored credential.' }),
  }),
});

interface ClusterResult {
  cluster: typeof Cluster.$inferType;
}

const ProbeClusterSuccess = builder.objectRef<ClusterResult>('ProbeClusterSuccess').implement({
  description: 'The cluster was probed.',
  fields: (t) => ({
    cluster: t.expose('cluster', { type: Cluster, description: 'The cluster with its new status.' }),
  }),
});

const ProbeClusterInput = builder.inputType('ProbeClusterInput', {
  description: 'The cluster to probe.',
  fields: (t) => ({ by: t.field({ type: ClusterByInput, required: true, description: 'The cluster to probe.' }) }),
});

const ConfirmClusterIdentitySuccess = builder.objectRef<ClusterResult>('ConfirmClusterIdentitySuccess').implement({
  description: 'The most recently observed identity is now the cluster’s expected identity.',
  fields: (t) => ({ cluster: t.expose('cluster', { type: Cluster, description: 'The cluster after the change.' }) }),
});

const ConfirmClusterIdentityInput = builder.inputType('ConfirmClusterIdentityInput', {
  description: 'The cluster for which to confirm a changed identity.',
  fields: (t) => ({
    by: t.field({
      type: ClusterByInput,
      required: true,
      description: 'The cluster for which to confirm the identity.',
    }),
    expectedRevision: t.int({
      description:
        'The revision that you last read. If the cluster has another revision, the result is a RevisionConflictError.',
    }),
  }),
});

/** Cost of one connection test or probe. */
const PROBE_COST = 200;

addMutation('testClusterConnection', {
  description: 'Tests a credential by connecting to its cluster. Stores nothing.',
  complexity: PROBE_COST,
  input: TestConnectionInput,
  about: 'The credential or the registered cluster to test.',
  success: TestConnectionSuccess,
  returns: 'the test result',
  errors: [ConnectionFailedError, NotFoundError],
  resolve: ({ cluster, credential }, { clusterProbes, caller }) =>
    clusterProbes.test(caller, { by: cluster ? clusterBy(cluster) : undefined, credential }),
});

addMutation('probeCluster', {
  description: 'Probes a cluster now and returns it with its new status.',
  complexity: PROBE_COST,
  input: ProbeClusterInput,
  about: 'The cluster to probe.',
  success: ProbeClusterSuccess,
  returns: 'the cluster with its new status',
  errors: [NotFoundError],
  resolve: async ({ by }, context, info) => {
    const query = clusterQuery(context, info, ['cluster']);
    return { cluster: await context.clusterProbes.probe(context.caller, clusterBy(by), query) };
  },
});

addMutation('confirmClusterIdentity', {
  description:
    'Accepts `otherUid`, the different identity that a later connection observed, as the cluster’s expected identity.',
  input: ConfirmClusterIdentityInput,
  about: 'The cluster for which to confirm the identity.',
  success: ConfirmClusterIdentitySuccess,
  returns: 'the updated cluster',
  errors: [NotFoundError, RevisionConflictError],
  resolve: async ({ by, expectedRevision }, context, info) => {
    const query = clusterQuery(context, info, ['cluster'], [{ name: 'current', type: 'RevisionConflictError' }]);
    const changes = { by: clusterBy(by), expectedRevision };
    return { cluster: await context.clusters.confirmIdentity(context.caller, changes, query) };
  },
});
