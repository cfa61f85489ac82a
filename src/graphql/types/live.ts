import type { LiveReads } from '../../domain/probing/live-reads.ts';
import { builder } from '../builder.ts';
import { Cluster } from './cluster.ts';

type Part<Name extends 'nodes' | 'namespaces' | 'readiness'> = NonNullable<
  Awaited<ReturnType<LiveReads[Name]>>
>[number];
type Page = NonNullable<Awaited<ReturnType<LiveReads['resources']>>>;
type Fault = Awaited<ReturnType<LiveReads['faults']>>[number];

/** Cost of one call to a cluster. */
const CALL_COST = 50;

interface KubernetesRow {
  readonly [field: string]: unknown;
  readonly metadata?: { name?: unknown; namespace?: unknown; uid?: unknown; creationTimestamp?: unknown };
}

const stringOrNull = (value: unknown): string | null => (typeof value === 'string' ? value : null);

const ReadinessCheck = builder.objectRef<Part<'readiness'>>('ReadinessCheck').implement({
  description: 'One readiness check of an API server.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The name of the check, such as `etcd`.' }),
    ok: t.exposeBoolean('ok', { description: 'Whether the check passes.' }),
  }),
});

const NodeCondition = builder.objectRef<Part<'nodes'>['conditions'][number]>('NodeCondition').implement({
  description: 'A condition of a node, as the cluster reports it.',
  fields: (t) => ({
    type: t.exposeString('type', { description: 'The type of the condition, such as `Ready`.' }),
    status: t.exposeString('status', { description: 'The status of the condition: `True`, `False` or `Unknown`.' }),
    reason: t.exposeString('reason', {
      nullable: true,
      description: 'The reason for the last status change, as one word for programs; null if the cluster reports none.',
    }),
    message: t.exposeString('message', {
      nullable: true,
      description: 'The details of the condition, for humans; null if the cluster reports none.',
    }),
  }),
});

const ClusterNode = builder.objectRef<Part<'nodes'>>('ClusterNode').implement({
  description: 'A node of a cluster.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The name of the node.' }),
    ready: t.exposeBoolean('ready', { description: 'Whether the node’s condition `Ready` has the status `True`.' }),
    cpu: t.exposeString('cpu', {
      nullable: true,
      description: 'The CPU capacity, as a Kubernetes quantity; null if the cluster does not report it.',
    }),
    memory: t.exposeString('memory', {
      nullable: true,
      description: 'The memory capacity, as a Kubernetes quantity; null if the cluster does not report it.',
    }),
    pods: t.exposeString('pods', {
      nullable: true,
      description: 'The maximum number of pods, as a Kubernetes quantity; null if the cluster does not report it.',
    }),
    kubeletVersion: t.exposeString('kubeletVersion', {
      nullable: true,
      description: 'The version of the node’s kubelet; null if the cluster does not report it.',
    }),
    conditions: t.field({
      type: [NodeCondition],
      description: 'The conditions of the node.',
      resolve: ({ conditions }) => [...conditions],
    }),
  }),
});

const ClusterNamespace = builder.objectRef<Part<'namespaces'>>('ClusterNamespace').implement({
  description: 'A namespace of a cluster.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The name of the namespace.' }),
    phase: t.exposeString('phase', {
      nullable: true,
      description: 'The phase, `Active` or `Terminating`; null if the cluster does not report it.',
    }),
  }),
});

builder.scalarType('JSON', {
  description: 'Any JSON value. Output only.',
  serialize: (value) => value,
  parseValue: () => {
    throw new TypeError('JSON is never an input here');
  },
});

const KubernetesObject = builder.objectRef<KubernetesRow>('KubernetesObject').implement({
  description:
    'A Kubernetes object of a cluster. The data of Secrets, annotations that contain a whole object, and managed fields are removed.',
  fields: (t) => ({
    apiVersion: t.string({
      description: 'The API group and version, such as `apps/v1`.',
      resolve: ({ apiVersion }) => String(apiVersion),
    }),
    kind: t.string({ description: 'The kind, such as `Pod`.', resolve: ({ kind }) => String(kind) }),
    name: t.string({
      description: 'The name of the object.',
      resolve: ({ metadata }) => stringOrNull(metadata?.name) ?? '',
    }),
    namespace: t.string({
      nullable: true,
      description: 'The namespace of the object; null if the kind is cluster-scoped.',
      resolve: ({ metadata }) => stringOrNull(metadata?.namespace),
    }),
    uid: t.string({
      nullable: true,
      description: 'The UID of the object; null if the cluster does not report it.',
      resolve: ({ metadata }) => stringOrNull(metadata?.uid),
    }),
    createdAt: t.string({
      nullable: true,
      description: 'When the object was created, as the cluster reports it; null if the cluster does not report it.',
      resolve: ({ metadata }) => stringOrNull(metadata?.creationTimestamp),
    }),
    manifest: t.field({
      type: 'JSON',
      description:
        'The complete object. For a Secret: only its name, namespace, UID, labels, timestamps, type and the names of its `keys`.',
      resolve: (object) => object,
    }),
  }),
});

const ResourceList = builder.objectRef<Page>('ResourceList').implement({
  description: 'A page of Kubernetes objects, using the API server’s own paging.',
  fields: (t) => ({
    objects: t.field({
      type: [KubernetesObject],
      description: 'The objects on this page.',
      complexity: { field: 0, multiplier: 1 },
      resolve: ({ objects }) => [...objects],
    }),
    next: t.exposeString('next', {
      nullable: true,
      description: 'The token to pass as `after` for the next page; null on the last page.',
    }),
    remaining: t.exposeInt('remaining', {
      nullable: true,
      description: 'The number of objects after this page; null if the API server does not report it.',
    }),
  }),
});

const LiveFault = builder.objectRef<Fault>('LiveFault').implement({
  description: 'A live field that could not be read, or not completely.',
  fields: (t) => ({
    path: t.stringList({
      description: 'The path of the failed field, by its name or alias in the document.',
      resolve: ({ path }) => [...path],
    }),
    code: t.exposeString('code', { description: 'A stable code for programs, such as `TIMED_OUT` or `FORBIDDEN`.' }),
    message: t.exposeString('message', { description: 'The problem, as one sentence for humans.' }),
  }),
});

const ClusterLive = builder.objectRef<LiveReads>('ClusterLive').implement({
  description:
    'Data read from the cluster at the time of the request. A field that cannot be read is null and is listed in `faults`, and so is a list that was cut. One document may make at most 100 calls to clusters, within 8 s in total.',
  fields: (t) => ({
    version: t.string({
      nullable: true,
      complexity: CALL_COST,
      description: 'The Kubernetes version of the API server; null if it cannot be read.',
      resolve: (live, _args, _context, { path }) => live.version(String(path.key)),
    }),
    readiness: t.field({
      type: [ReadinessCheck],
      nullable: true,
      complexity: { field: CALL_COST, multiplier: 1 },
      description: 'The readiness checks of the API server; null if they cannot be read.',
      resolve: (live, _args, _context, { path }) => live.readiness(String(path.key)),
    }),
    nodes: t.field({
      type: [ClusterNode],
      nullable: true,
      complexity: { field: CALL_COST, multiplier: 5 },
      description:
        'The nodes of the cluster; null if they cannot be read. Of more than 250, the first 250, with a fault TRUNCATED.',
      resolve: (live, _args, _context, { path }) => live.nodes(String(path.key)),
    }),
    namespaces: t.field({
      type: [ClusterNamespace],
      nullable: true,
      complexity: { field: CALL_COST, multiplier: 5 },
      description:
        'The namespaces of the cluster; null if they cannot be read. Of more than 250, the first 250, with a fault TRUNCATED.',
      resolve: (live, _args, _context, { path }) => live.namespaces(String(path.key)),
    }),
    resources: t.field({
      type: ResourceList,
      nullable: true,
      complexity: ({ first }) => ({ field: 2 * CALL_COST, multiplier: Math.max(1, first ?? 50) }),
      description: 'A page of the objects of one kind; null if they cannot be read.',
      args: {
        apiVersion: t.arg.string({
          required: true,
          description: 'The API group and version, such as `v1` or `apps/v1`.',
        }),
        kind: t.arg.string({ required: true, description: 'The kind of object, such as `Pod`.' }),
        namespace: t.arg.string({
          description: 'Returns only objects in this namespace. If absent, objects of all namespaces.',
        }),
        labelSelector: t.arg.string({
          description: 'Returns only objects that match this Kubernetes label selector, such as `app=web`.',
        }),
        fieldSelector: t.arg.string({
          description:
            'Returns only objects that match this Kubernetes field selector, such as `status.phase=Running`.',
        }),
        first: t.arg.int({
          required: true,
          defaultValue: 50,
          description: 'The number of objects to return, 1 to 250.',
        }),
        after: t.arg.string({ description: 'The value of `next` of the previous page.' }),
      },
      resolve: (live, args, _context, { path }) => live.resources(String(path.key), args),
    }),
    faults: t.field({
      type: [LiveFault],
      description: 'The live fields that could not be read; empty if there are none.',
      resolve: async (live) => [...(await live.faults())],
    }),
  }),
});

builder.prismaObjectField(Cluster, 'live', (t) =>
  t.field({
    type: ClusterLive,
    nullable: true,
    description:
      'Data read from the cluster at the time of the request; null if the viewer does not hold CLUSTERS_LIVE for it.',
    select: { id: true, uid: true, enabled: true, inCluster: true, credentialsVersion: true, credentialProblem: true },
    resolve: async (cluster, _args, { fleet, caller, liveBudget }, { operation }) => {
      // The caller's permissions may change while a stream is open, so refresh them for every event.
      const now = operation.operation === 'subscription' ? await caller.refresh() : caller;
      return now.viewer ? fleet.live(now, cluster, liveBudget) : null;
    },
  }),
);
