import type { ConnectionTestResult } from '../../domain/clusters/cluster-probes.ts';
import { builder } from '../builder.ts';
import { asErrorResult, resultType } from '../errors.ts';
import { Cluster, ClusterStateEnum } from './cluster.ts';
import { ClusterCredentialInput } from './cluster-inputs.ts';
import { ClusterByInput, clusterBy, clusterQuery } from './cluster-queries.ts';
import {
  ConnectionFailedError,
  ForbiddenError,
  InvalidInputError,
  NotFoundError,
  RevisionConflictError,
} from './errors.ts';

type Rule = NonNullable<ConnectionTestResult['rules']>[number];

const PermissionRule = builder.objectRef<Rule>('PermissionRule').implement({
  description: 'What a credential may do with some resources; `*` stands for all.',
  fields: (t) => ({
    verbs: t.stringList({ description: 'Such as `get`, `list`, `watch`.', resolve: ({ verbs }) => [...verbs] }),
    apiGroups: t.stringList({
      description: 'The empty text is the core group.',
      resolve: ({ apiGroups }) => [...apiGroups],
    }),
    resources: t.stringList({ description: 'Such as `pods`.', resolve: ({ resources }) => [...resources] }),
  }),
});

const TestConnectionSuccess = builder.objectRef<ConnectionTestResult>('TestConnectionSuccess').implement({
  description: 'The cluster knows the credential.',
  fields: (t) => ({
    state: t.expose('state', { type: ClusterStateEnum, description: 'READY or DEGRADED.' }),
    version: t.string({ nullable: true, description: 'Its version.', resolve: ({ version }) => version ?? null }),
    latencyMs: t.float({
      description: 'How long it took until the cluster answered, in milliseconds.',
      resolve: ({ latencyMs }) => Math.round(latencyMs * 10) / 10,
    }),
    identity: t.string({
      nullable: true,
      description: 'The UID of its namespace kube-system, where the credential may read it.',
      resolve: ({ identity }) => identity ?? null,
    }),
    permissions: t.field({
      type: [PermissionRule],
      nullable: true,
      description:
        'What the credential may do in its namespace, by SelfSubjectRulesReview; null where the cluster does not tell.',
      resolve: ({ rules }) => (rules ? [...rules] : null),
    }),
  }),
});

const TestConnectionInput = builder.inputType('TestConnectionInput', {
  description: 'A credential to try, or a cluster to try with its own.',
  isOneOf: true,
  fields: (t) => ({
    credential: t.field({ type: ClusterCredentialInput, description: 'A credential that is not stored.' }),
    cluster: t.field({ type: ClusterByInput, description: 'A cluster, with the credential that is stored.' }),
  }),
});

const TestConnectionResult = builder.unionType('TestConnectionResult', {
  description: 'The answer of `testClusterConnection`.',
  types: [TestConnectionSuccess, ConnectionFailedError, NotFoundError, InvalidInputError, ForbiddenError],
  resolveType: resultType('TestConnectionSuccess'),
});

interface Touched {
  cluster: typeof Cluster.$inferType;
}

const ProbeClusterSuccess = builder.objectRef<Touched>('ProbeClusterSuccess').implement({
  description: 'The cluster was tried.',
  fields: (t) => ({
    cluster: t.expose('cluster', { type: Cluster, description: 'The cluster, with the status that was found.' }),
  }),
});

const ProbeClusterInput = builder.inputType('ProbeClusterInput', {
  description: 'A cluster to try now.',
  fields: (t) => ({ by: t.field({ type: ClusterByInput, required: true, description: 'Which cluster.' }) }),
});

const ProbeClusterResult = builder.unionType('ProbeClusterResult', {
  description: 'The answer of `probeCluster`.',
  types: [ProbeClusterSuccess, NotFoundError, InvalidInputError, ForbiddenError],
  resolveType: resultType('ProbeClusterSuccess'),
});

const ConfirmClusterIdentitySuccess = builder.objectRef<Touched>('ConfirmClusterIdentitySuccess').implement({
  description: 'The identity that was met last is the cluster’s own now.',
  fields: (t) => ({ cluster: t.expose('cluster', { type: Cluster, description: 'The cluster as it is now.' }) }),
});

const ConfirmClusterIdentityInput = builder.inputType('ConfirmClusterIdentityInput', {
  description: 'A cluster whose changed identity is meant.',
  fields: (t) => ({
    by: t.field({ type: ClusterByInput, required: true, description: 'Which cluster.' }),
    expectedRevision: t.int({ description: 'The revision you have seen: another one is a RevisionConflictError.' }),
  }),
});

const ConfirmClusterIdentityResult = builder.unionType('ConfirmClusterIdentityResult', {
  description: 'The answer of `confirmClusterIdentity`.',
  types: [ConfirmClusterIdentitySuccess, NotFoundError, RevisionConflictError, InvalidInputError, ForbiddenError],
  resolveType: resultType('ConfirmClusterIdentitySuccess'),
});

const input = { required: true, description: 'What to do.' } as const;
/** What one try of a cluster adds to the cost of a document. */
const TRIAL_COST = 200;

builder.mutationFields((t) => ({
  testClusterConnection: t.field({
    type: TestConnectionResult,
    description: 'Tries a credential against its cluster and stores nothing.',
    complexity: TRIAL_COST,
    args: { input: t.arg({ type: TestConnectionInput, ...input }) },
    resolve: (_root, { input: { cluster, credential } }, { clusterProbes, caller }) =>
      asErrorResult(() => clusterProbes.test(caller, { by: cluster ? clusterBy(cluster) : undefined, credential })),
  }),
  probeCluster: t.field({
    type: ProbeClusterResult,
    description: 'Tries a cluster now and answers with its status.',
    complexity: TRIAL_COST,
    args: { input: t.arg({ type: ProbeClusterInput, ...input }) },
    resolve: (_root, { input: { by } }, context, info) =>
      asErrorResult(async () => {
        const query = clusterQuery(context, info, ['cluster']);
        return { cluster: await context.clusterProbes.probe(context.caller, clusterBy(by), query) };
      }),
  }),
  confirmClusterIdentity: t.field({
    type: ConfirmClusterIdentityResult,
    description: 'Takes the other identity that a contact met as the cluster’s own.',
    args: { input: t.arg({ type: ConfirmClusterIdentityInput, ...input }) },
    resolve: (_root, { input: { by, expectedRevision } }, context, info) =>
      asErrorResult(async () => {
        const query = clusterQuery(context, info, ['cluster'], [{ name: 'current', type: 'RevisionConflictError' }]);
        const changes = { by: clusterBy(by), expectedRevision };
        return { cluster: await context.clusters.confirmIdentity(context.caller, changes, query) };
      }),
  }),
}));
