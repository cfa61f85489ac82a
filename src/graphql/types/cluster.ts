import { CLUSTER_STATES, type ClusterState } from '../../domain/clusters/cluster.ts';
import { CREDENTIAL_KINDS, type CredentialKind } from '../../domain/clusters/credential.ts';
import { builder } from '../builder.ts';
import { encodeGlobalId } from '../global-id.ts';
import { describedEnum } from './enums.ts';

export const ClusterStateEnum = builder.enumType('ClusterState', {
  description: 'The last observed state of a cluster.',
  values: describedEnum(CLUSTER_STATES, {
    PENDING: 'Not tried since its last change.',
    READY: 'It is ready and knows the credential.',
    DEGRADED: 'It knows the credential, and says that it is not ready.',
    UNAUTHORIZED: 'It does not know the credential.',
    UNREACHABLE: 'No connection, a TLS failure, no answer in time, or no Kubernetes API server.',
    UNUSABLE: 'The kubeconfig cannot be used.',
    DISABLED: 'Switched off; nothing is asked of it.',
  }),
});

const CredentialKindEnum = builder.enumType('CredentialKind', {
  description: 'How a cluster knows Kitestring.',
  values: describedEnum(CREDENTIAL_KINDS, {
    TOKEN: 'A bearer token.',
    CLIENT_CERTIFICATE: 'A client certificate.',
    TOKEN_AND_CERTIFICATE: 'Both, as AKS writes them.',
    IN_CLUSTER: 'The service account of the pod that Kitestring runs in.',
    NONE: 'The kubeconfig holds no credential.',
    UNUSABLE: 'There is none that can be used; `problem` says why.',
  }),
});

export const Label = builder.prismaObject('ClusterLabel', {
  variant: 'Label',
  description: 'A label of a cluster, as Kubernetes has them.',
  select: { key: true, value: true },
  fields: (t) => ({
    key: t.exposeString('key', { description: 'An optional DNS prefix and `/`, then up to 63 characters.' }),
    value: t.exposeString('value', { description: 'Empty, or up to 63 characters.' }),
  }),
});

interface CredentialRow {
  credentialKind: string;
  credentialExpiresAt: Date | null;
  credentialProblem: string | null;
  caExpiresAt: Date | null;
}

const Credential = builder.objectRef<CredentialRow>('Credential').implement({
  description: 'What may be told of a cluster’s credential: never the credential itself.',
  fields: (t) => ({
    kind: t.field({
      type: CredentialKindEnum,
      description: 'How the cluster knows Kitestring.',
      resolve: ({ credentialKind }) => credentialKind as CredentialKind,
    }),
    expiresAt: t.expose('credentialExpiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'The earliest end of the client certificate and the token, where they tell one.',
    }),
    caExpiresAt: t.expose('caExpiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the last CA certificate of the kubeconfig ends.',
    }),
    expiresSoon: t.boolean({
      description: 'Whether the credential or the CA ends within 14 days, or has ended.',
      resolve: ({ credentialExpiresAt, caExpiresAt }) => endsSoon(credentialExpiresAt) || endsSoon(caExpiresAt),
    }),
    problem: t.exposeString('credentialProblem', {
      nullable: true,
      description: 'Why it cannot be used, and what to do about it.',
    }),
  }),
});

const SOON_MS = 14 * 24 * 60 * 60 * 1000;

function endsSoon(end: Date | null): boolean {
  return end !== null && end.getTime() - Date.now() < SOON_MS;
}

/** Tenths are as exact as a network is. */
function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10;
}

interface StatusRow {
  id: number;
  uid: string;
  credentialsVersion: number;
  state: string;
  stateSince: Date;
  observedAt: Date | null;
  version: string | null;
  latencyMs: number | null;
  faultCode: string | null;
  faultMessage: string | null;
}

export const ClusterFault = builder.objectRef<{ code: string; message: string }>('ClusterFault').implement({
  description: 'What is wrong with a cluster.',
  fields: (t) => ({
    code: t.exposeString('code', { description: 'A stable code, such as `KUBECONFIG_UNUSABLE`.' }),
    message: t.exposeString('message', { description: 'One sentence for a person.' }),
  }),
});

const ClusterStatus = builder.objectRef<StatusRow>('ClusterStatus').implement({
  description: 'The last observed state: never a live call, so a dead cluster cannot blank a list.',
  fields: (t) => ({
    state: t.field({
      type: ClusterStateEnum,
      description: 'The state.',
      resolve: ({ state }) => state as ClusterState,
    }),
    since: t.expose('stateSince', { type: 'DateTime', description: 'When this state began.' }),
    observedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'The end of the last attempt to reach the cluster; null before the first.',
      resolve: async (row, _args, { statuses }) => (await statuses.lastSeen(row)).observedAt,
    }),
    version: t.exposeString('version', {
      nullable: true,
      description: 'The last version known under the present credential, such as `v1.31.0`.',
    }),
    latencyMs: t.float({
      nullable: true,
      description: 'How long the last attempt took until the cluster answered, in milliseconds.',
      resolve: async (row, _args, { statuses }) => rounded((await statuses.lastSeen(row)).latencyMs),
    }),
    error: t.field({
      type: ClusterFault,
      nullable: true,
      description: 'What is wrong, when the last attempt failed or the kubeconfig cannot be used.',
      resolve: ({ faultCode, faultMessage }) => (faultCode ? { code: faultCode, message: faultMessage ?? '' } : null),
    }),
  }),
});

const IDENTITY_STATES = ['UNKNOWN', 'KNOWN', 'CHANGED'] as const;

const IdentityState = builder.enumType('IdentityState', {
  description: 'What is known of whether a cluster is still the same.',
  values: describedEnum(IDENTITY_STATES, {
    UNKNOWN: 'Not learnt: never reached, or the credential may not read it.',
    KNOWN: 'The same since first contact.',
    CHANGED: 'A later contact met another cluster; `confirmClusterIdentity` takes it.',
  }),
});

const ClusterIdentity = builder
  .objectRef<{ identity: string | null; otherIdentity: string | null }>('ClusterIdentity')
  .implement({
    description: 'Whether this is the same cluster as at first contact, by the UID of its namespace kube-system.',
    fields: (t) => ({
      state: t.field({
        type: IdentityState,
        description: 'What is known.',
        resolve: ({ identity, otherIdentity }) => (otherIdentity ? 'CHANGED' : identity ? 'KNOWN' : 'UNKNOWN'),
      }),
      uid: t.exposeString('identity', { nullable: true, description: 'The UID learnt at first contact.' }),
      otherUid: t.exposeString('otherIdentity', { nullable: true, description: 'The UID that a later contact met.' }),
    }),
  });

export const Cluster = builder.prismaObject('Cluster', {
  description: 'A Kubernetes cluster in the registry. No field of the schema holds a credential.',
  interfaces: [builder.nodeInterfaceRef()],
  select: { id: true },
  fields: (t) => ({
    id: t.field({
      type: 'ID',
      description: 'The global id: opaque, never changed, never used again.',
      select: { uid: true },
      resolve: ({ uid }) => encodeGlobalId('Cluster', uid),
    }),
    databaseId: t.exposeInt('id', { description: 'The id that the REST routes use; never used again after a delete.' }),
    name: t.exposeString('name', { description: 'Unique, 1 to 253 characters, compared byte for byte.' }),
    description: t.exposeString('description', {
      description: 'Free text, up to 10,000 characters; empty when there is none.',
    }),
    labels: t.relation('labels', {
      type: Label,
      description: 'Labels, ordered by key; `labelSelector` filters by them.',
      query: { orderBy: { key: 'asc' } },
    }),
    enabled: t.exposeBoolean('enabled', { description: 'Whether anything is asked of the cluster.' }),
    isDefault: t.exposeBoolean('isDefault', { description: 'Whether it is the default; at most one cluster is.' }),
    inCluster: t.exposeBoolean('inCluster', {
      description: 'Whether it is reached by the service account of the pod that Kitestring runs in.',
    }),
    prometheusURL: t.string({
      nullable: true,
      description: 'Where its Prometheus answers; null when none was given.',
      select: { prometheusURL: true },
      resolve: ({ prometheusURL }) => prometheusURL || null,
    }),
    discoveredPrometheusURL: t.string({
      nullable: true,
      description:
        'A Service in the cluster that looks like its Prometheus; null when `prometheusURL` is set, which always wins.',
      select: { prometheusURL: true, discoveredPrometheusURL: true },
      resolve: ({ prometheusURL, discoveredPrometheusURL }) => (prometheusURL ? null : discoveredPrometheusURL),
    }),
    identity: t.field({
      type: ClusterIdentity,
      description: 'Whether it is still the same cluster.',
      select: { identity: true, otherIdentity: true },
      resolve: (cluster) => cluster,
    }),
    apiServer: t.exposeString('apiServer', {
      nullable: true,
      description: 'The URL of its API server; null in-cluster, and where the kubeconfig tells none.',
    }),
    credential: t.field({
      type: Credential,
      description: 'What may be told of its credential.',
      select: { credentialKind: true, credentialExpiresAt: true, credentialProblem: true, caExpiresAt: true },
      resolve: (cluster) => cluster,
    }),
    revision: t.exposeInt('revision', {
      description: 'Raised by every change; `expectedRevision` refuses a lost update.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was registered.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When it was changed last.' }),
    status: t.field({
      type: ClusterStatus,
      description: 'Its last observed state.',
      select: {
        ...{ id: true, uid: true, credentialsVersion: true, state: true, stateSince: true, observedAt: true },
        version: true,
        ...{ latencyMs: true, faultCode: true, faultMessage: true },
      },
      resolve: (cluster) => (cluster.state === 'DISABLED' ? { ...cluster, version: null } : cluster),
    }),
  }),
});
