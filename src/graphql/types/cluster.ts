import { CLUSTER_STATES, type ClusterState } from '../../domain/cluster-status.ts';
import { CREDENTIAL_KINDS, type CredentialKind } from '../../domain/credentials/credential.ts';
import { builder } from '../builder.ts';
import { encodeGlobalId } from '../global-id.ts';
import { describedEnum } from './enums.ts';

export const ClusterStateEnum = builder.enumType('ClusterState', {
  description: 'The last observed state of a cluster.',
  values: describedEnum(CLUSTER_STATES, {
    PENDING: 'Not probed since the cluster was registered or its connection settings changed.',
    READY: 'The API server accepts the credential and reports that it is ready.',
    DEGRADED: 'The API server accepts the credential and reports that it is not ready.',
    UNAUTHORIZED: 'The API server rejects the credential.',
    UNREACHABLE:
      'Kitestring cannot connect, TLS fails, the response takes too long, or the server is not a Kubernetes API server.',
    UNUSABLE: 'The kubeconfig cannot be used.',
    DISABLED: 'The cluster is disabled: Kitestring does not connect to it.',
  }),
});

const CredentialKindEnum = builder.enumType('CredentialKind', {
  description: 'The kind of credential that Kitestring uses for a cluster.',
  values: describedEnum(CREDENTIAL_KINDS, {
    TOKEN: 'A bearer token.',
    CLIENT_CERTIFICATE: 'A client certificate.',
    TOKEN_AND_CERTIFICATE: 'A bearer token and a client certificate, as AKS issues them.',
    IN_CLUSTER: 'The service account of the pod that Kitestring runs in.',
    NONE: 'The kubeconfig contains no credential.',
    UNUSABLE: 'No credential can be used; `problem` states the reason.',
  }),
});

const Label = builder.prismaObject('ClusterLabel', {
  variant: 'Label',
  description: 'A Kubernetes-style label of a cluster.',
  select: { key: true, value: true },
  fields: (t) => ({
    key: t.exposeString('key', { description: 'The key: an optional DNS prefix and `/`, then up to 63 characters.' }),
    value: t.exposeString('value', { description: 'The value: up to 63 characters, may be empty.' }),
  }),
});

interface CredentialRow {
  credentialKind: string;
  credentialExpiresAt: Date | null;
  credentialProblem: string | null;
  caExpiresAt: Date | null;
}

const Credential = builder.objectRef<CredentialRow>('Credential').implement({
  description: 'Information about a cluster’s credential. Never includes the credential itself.',
  fields: (t) => ({
    kind: t.field({
      type: CredentialKindEnum,
      description: 'The kind of credential.',
      resolve: ({ credentialKind }) => credentialKind as CredentialKind,
    }),
    expiresAt: t.expose('credentialExpiresAt', {
      type: 'DateTime',
      nullable: true,
      description:
        'When the client certificate or the token expires, whichever is first; null if neither states an expiry.',
    }),
    caExpiresAt: t.expose('caExpiresAt', {
      type: 'DateTime',
      nullable: true,
      description:
        'When the last of the CA certificates in the kubeconfig expires; null if the kubeconfig contains none.',
    }),
    expiresSoon: t.boolean({
      description: 'Whether the credential or the CA certificate expires within 14 days, or has expired.',
      resolve: ({ credentialExpiresAt, caExpiresAt }) => expiresSoon(credentialExpiresAt) || expiresSoon(caExpiresAt),
    }),
    problem: t.exposeString('credentialProblem', {
      nullable: true,
      description: 'Why the credential cannot be used, and what to do about it; null if it can be used.',
    }),
  }),
});

const SOON_MS = 14 * 24 * 60 * 60 * 1000;

function expiresSoon(expiry: Date | null): boolean {
  return expiry !== null && expiry.getTime() - Date.now() < SOON_MS;
}

/** Rounds to tenths of a millisecond; network latency is not measurable more precisely. */
function roundToTenths(ms: number | null): number | null {
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
  description: 'A problem with a cluster.',
  fields: (t) => ({
    code: t.exposeString('code', { description: 'A stable code for programs, such as `KUBECONFIG_UNUSABLE`.' }),
    message: t.exposeString('message', { description: 'The problem, as one sentence for humans.' }),
  }),
});

const ClusterStatus = builder.objectRef<StatusRow>('ClusterStatus').implement({
  description:
    'The last observed state of a cluster. Reading it never calls the cluster, so an unreachable cluster does not delay a list.',
  fields: (t) => ({
    state: t.field({
      type: ClusterStateEnum,
      description: 'The last observed state.',
      resolve: ({ state }) => state as ClusterState,
    }),
    since: t.expose('stateSince', { type: 'DateTime', description: 'When the cluster entered this state.' }),
    observedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When the last probe of the cluster ended; null before the first probe.',
      resolve: async (row, _args, { statuses }) => (await statuses.lastProbeOf(row)).observedAt,
    }),
    version: t.exposeString('version', {
      nullable: true,
      description:
        'The last known Kubernetes version under the current credential, such as `v1.31.0`; null if it is not known or the cluster is disabled.',
    }),
    latencyMs: t.float({
      nullable: true,
      description:
        'The time until the cluster responded to the last probe, in milliseconds; null if it did not respond.',
      resolve: async (row, _args, { statuses }) => roundToTenths((await statuses.lastProbeOf(row)).latencyMs),
    }),
    error: t.field({
      type: ClusterFault,
      nullable: true,
      description:
        'The problem, if the last probe of the cluster failed or the kubeconfig cannot be used; null otherwise.',
      resolve: ({ faultCode, faultMessage }) => (faultCode ? { code: faultCode, message: faultMessage ?? '' } : null),
    }),
  }),
});

const IDENTITY_STATES = ['UNKNOWN', 'KNOWN', 'CHANGED'] as const;

const IdentityState = builder.enumType('IdentityState', {
  description: 'Whether a cluster still has the identity observed when Kitestring first connected to it.',
  values: describedEnum(IDENTITY_STATES, {
    UNKNOWN:
      'The identity is not known: Kitestring never connected to the cluster, or the credential may not read the identity.',
    KNOWN: 'The identity has not changed since the first connection.',
    CHANGED:
      'A later connection observed a different cluster. The mutation `confirmClusterIdentity` accepts the new identity.',
  }),
});

const ClusterIdentity = builder
  .objectRef<{ identity: string | null; otherIdentity: string | null }>('ClusterIdentity')
  .implement({
    description: 'The identity of a cluster: the UID of its namespace kube-system, recorded at the first connection.',
    fields: (t) => ({
      state: t.field({
        type: IdentityState,
        description: 'Whether the identity is known and whether it has changed.',
        resolve: ({ identity, otherIdentity }) => (otherIdentity ? 'CHANGED' : identity ? 'KNOWN' : 'UNKNOWN'),
      }),
      uid: t.exposeString('identity', {
        nullable: true,
        description: 'The UID recorded at the first connection or confirmed since; null if it is not known.',
      }),
      otherUid: t.exposeString('otherIdentity', {
        nullable: true,
        description: 'The different UID that a later connection observed; null if none did.',
      }),
    }),
  });

export const Cluster = builder.prismaObject('Cluster', {
  description: 'A Kubernetes cluster in the registry. No field of the schema returns a credential.',
  interfaces: [builder.nodeInterfaceRef()],
  select: { id: true },
  fields: (t) => ({
    id: t.field({
      type: 'ID',
      description: 'The global id: opaque, never changes and is never reused.',
      select: { uid: true },
      resolve: ({ uid }) => encodeGlobalId('Cluster', uid),
    }),
    databaseId: t.exposeInt('id', {
      description: 'The id of the cluster in the REST API. It is not reused after the cluster is deleted.',
    }),
    name: t.exposeString('name', { description: 'The name: unique, 1 to 253 characters, compared byte for byte.' }),
    description: t.exposeString('description', {
      description: 'A free-text description, up to 10,000 characters; the empty string if there is none.',
    }),
    labels: t.relation('labels', {
      type: Label,
      description: 'The labels, ordered by key. The filter field `labelSelector` matches them.',
      query: { orderBy: { key: 'asc' } },
    }),
    enabled: t.exposeBoolean('enabled', { description: 'Whether Kitestring connects to the cluster.' }),
    isDefault: t.exposeBoolean('isDefault', {
      description: 'Whether this is the default cluster. At most one cluster is the default.',
    }),
    inCluster: t.exposeBoolean('inCluster', {
      description: 'Whether Kitestring connects with the service account of the pod that it runs in.',
    }),
    prometheusURL: t.string({
      nullable: true,
      description: 'The configured URL of the cluster’s Prometheus; null if none is set.',
      select: { prometheusURL: true },
      resolve: ({ prometheusURL }) => prometheusURL || null,
    }),
    discoveredPrometheusURL: t.string({
      nullable: true,
      description:
        'The URL of a Service in the cluster that appears to be its Prometheus; null if none was found or `prometheusURL`, which takes precedence, is set.',
      select: { prometheusURL: true, discoveredPrometheusURL: true },
      resolve: ({ prometheusURL, discoveredPrometheusURL }) => (prometheusURL ? null : discoveredPrometheusURL),
    }),
    identity: t.field({
      type: ClusterIdentity,
      description: 'The identity of the cluster, and whether it has changed.',
      select: { identity: true, otherIdentity: true },
      resolve: (cluster) => cluster,
    }),
    apiServer: t.exposeString('apiServer', {
      nullable: true,
      description:
        'The URL of the cluster’s API server; null for an in-cluster connection, or if the kubeconfig contains no URL.',
    }),
    credential: t.field({
      type: Credential,
      description: 'Information about the credential that Kitestring uses for the cluster.',
      select: { credentialKind: true, credentialExpiresAt: true, credentialProblem: true, caExpiresAt: true },
      resolve: (cluster) => cluster,
    }),
    revision: t.exposeInt('revision', {
      description: 'The revision, which every change increases. Pass it as `expectedRevision` to prevent lost updates.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When the cluster was registered.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When the cluster was last changed.' }),
    status: t.field({
      type: ClusterStatus,
      description: 'The last observed state of the cluster.',
      select: {
        ...{ id: true, uid: true, credentialsVersion: true, state: true, stateSince: true, observedAt: true },
        version: true,
        ...{ latencyMs: true, faultCode: true, faultMessage: true },
      },
      resolve: (cluster) => (cluster.state === 'DISABLED' ? { ...cluster, version: null } : cluster),
    }),
  }),
});
