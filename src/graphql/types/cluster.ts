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
    problem: t.exposeString('credentialProblem', {
      nullable: true,
      description: 'Why it cannot be used, and what to do about it.',
    }),
  }),
});

interface StatusRow {
  state: string;
  stateSince: Date;
  observedAt: Date | null;
  version: string | null;
  latencyMs: number | null;
  faultCode: string | null;
  faultMessage: string | null;
}

const ClusterFault = builder.objectRef<{ code: string; message: string }>('ClusterFault').implement({
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
    observedAt: t.expose('observedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'The end of the last attempt to reach the cluster; null before the first.',
    }),
    version: t.exposeString('version', {
      nullable: true,
      description: 'The last version known under the present credential, such as `v1.31.0`.',
    }),
    latencyMs: t.exposeFloat('latencyMs', {
      nullable: true,
      description: 'How long the last successful attempt took, in milliseconds.',
    }),
    error: t.field({
      type: ClusterFault,
      nullable: true,
      description: 'What is wrong, when the last attempt failed or the kubeconfig cannot be used.',
      resolve: ({ faultCode, faultMessage }) => (faultCode ? { code: faultCode, message: faultMessage ?? '' } : null),
    }),
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
    apiServer: t.exposeString('apiServer', {
      nullable: true,
      description: 'The URL of its API server; null in-cluster, and where the kubeconfig tells none.',
    }),
    credential: t.field({
      type: Credential,
      description: 'What may be told of its credential.',
      select: { credentialKind: true, credentialExpiresAt: true, credentialProblem: true },
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
        ...{ state: true, stateSince: true, observedAt: true, version: true },
        ...{ latencyMs: true, faultCode: true, faultMessage: true },
      },
      resolve: (cluster) => (cluster.state === 'DISABLED' ? { ...cluster, version: null } : cluster),
    }),
  }),
});
