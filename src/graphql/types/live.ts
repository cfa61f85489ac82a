import type { LiveReads } from '../../domain/clusters/live-reads.ts';
import { builder } from '../builder.ts';
import { Cluster } from './cluster.ts';

type Part<Name extends 'nodes' | 'namespaces' | 'readiness'> = NonNullable<
  Awaited<ReturnType<LiveReads[Name]>>
>[number];
type Page = NonNullable<Awaited<ReturnType<LiveReads['resources']>>>;
type Fault = Awaited<ReturnType<LiveReads['faults']>>[number];

/** What one call to a cluster adds to the cost of a document. */
const CALL_COST = 50;

interface KubernetesRow {
  readonly [field: string]: unknown;
  readonly metadata?: { name?: unknown; namespace?: unknown; uid?: unknown; creationTimestamp?: unknown };
}

const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);

const ReadinessCheck = builder.objectRef<Part<'readiness'>>('ReadinessCheck').implement({
  description: 'One readiness check of an API server.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name, such as `etcd`.' }),
    ok: t.exposeBoolean('ok', { description: 'Whether it passes.' }),
  }),
});

const NodeCondition = builder.objectRef<Part<'nodes'>['conditions'][number]>('NodeCondition').implement({
  description: 'A condition of a node, as the cluster has it.',
  fields: (t) => ({
    type: t.exposeString('type', { description: 'Its type, such as `Ready`.' }),
    status: t.exposeString('status', { description: '`True`, `False` or `Unknown`.' }),
    reason: t.exposeString('reason', { nullable: true, description: 'A word for programs.' }),
    message: t.exposeString('message', { nullable: true, description: 'A sentence for people.' }),
  }),
});

const ClusterNode = builder.objectRef<Part<'nodes'>>('ClusterNode').implement({
  description: 'A node of a cluster.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    ready: t.exposeBoolean('ready', { description: 'Whether its condition Ready is True.' }),
    cpu: t.exposeString('cpu', { nullable: true, description: 'Its CPU capacity, as a quantity.' }),
    memory: t.exposeString('memory', { nullable: true, description: 'Its memory capacity, as a quantity.' }),
    pods: t.exposeString('pods', { nullable: true, description: 'How many pods it takes, as a quantity.' }),
    kubeletVersion: t.exposeString('kubeletVersion', { nullable: true, description: 'The version of its kubelet.' }),
    conditions: t.field({
      type: [NodeCondition],
      description: 'Its conditions.',
      resolve: ({ conditions }) => [...conditions],
    }),
  }),
});

const ClusterNamespace = builder.objectRef<Part<'namespaces'>>('ClusterNamespace').implement({
  description: 'A namespace of a cluster.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    phase: t.exposeString('phase', { nullable: true, description: '`Active` or `Terminating`.' }),
  }),
});

builder.scalarType('JSON', {
  description: 'Any JSON value.',
  serialize: (value) => value,
  parseValue: () => {
    throw new TypeError('JSON is never an input here');
  },
});

const KubernetesObject = builder.objectRef<KubernetesRow>('KubernetesObject').implement({
  description:
    'An object of a cluster, without the data of Secrets, annotations that carry an object, and managed fields.',
  fields: (t) => ({
    apiVersion: t.string({ description: 'Its group and version.', resolve: ({ apiVersion }) => String(apiVersion) }),
    kind: t.string({ description: 'Its kind.', resolve: ({ kind }) => String(kind) }),
    name: t.string({ description: 'Its name.', resolve: ({ metadata }) => text(metadata?.name) ?? '' }),
    namespace: t.string({
      nullable: true,
      description: 'Its namespace.',
      resolve: ({ metadata }) => text(metadata?.namespace),
    }),
    uid: t.string({ nullable: true, description: 'Its UID.', resolve: ({ metadata }) => text(metadata?.uid) }),
    createdAt: t.string({
      nullable: true,
      description: 'When it was created, as the cluster tells it.',
      resolve: ({ metadata }) => text(metadata?.creationTimestamp),
    }),
    manifest: t.field({
      type: 'JSON',
      description:
        'The whole object. Of a Secret: its name, namespace, uid, labels, times, type and the names of its `keys`.',
      resolve: (object) => object,
    }),
  }),
});

const ResourceList = builder.objectRef<Page>('ResourceList').implement({
  description: 'A page of objects, by the API server’s own paging.',
  fields: (t) => ({
    objects: t.field({
      type: [KubernetesObject],
      description: 'The objects of this page.',
      complexity: { field: 0, multiplier: 1 },
      resolve: ({ objects }) => [...objects],
    }),
    next: t.exposeString('next', { nullable: true, description: '`after` for the next page; null on the last.' }),
    remaining: t.exposeInt('remaining', {
      nullable: true,
      description: 'How many objects follow, where the API server tells.',
    }),
  }),
});

const LiveFault = builder.objectRef<Fault>('LiveFault').implement({
  description: 'A part of a live answer that failed.',
  fields: (t) => ({
    path: t.stringList({ description: 'The part, as the document names it.', resolve: ({ path }) => [...path] }),
    code: t.exposeString('code', { description: 'A stable code, such as `TIMED_OUT` or `FORBIDDEN`.' }),
    message: t.exposeString('message', { description: 'One sentence for a person.' }),
  }),
});

const ClusterLive = builder.objectRef<LiveReads>('ClusterLive').implement({
  description:
    'What a cluster answers now. A part that fails is null and named in `faults`. At most 100 calls a document, 8 s in all.',
  fields: (t) => ({
    version: t.string({
      nullable: true,
      complexity: CALL_COST,
      description: 'The version of its API server.',
      resolve: (live, _args, _context, { path }) => live.version(String(path.key)),
    }),
    readiness: t.field({
      type: [ReadinessCheck],
      nullable: true,
      complexity: { field: CALL_COST, multiplier: 1 },
      description: 'Its readiness checks by name.',
      resolve: (live, _args, _context, { path }) => live.readiness(String(path.key)),
    }),
    nodes: t.field({
      type: [ClusterNode],
      nullable: true,
      complexity: { field: CALL_COST, multiplier: 5 },
      description: 'Its nodes, at most 250.',
      resolve: (live, _args, _context, { path }) => live.nodes(String(path.key)),
    }),
    namespaces: t.field({
      type: [ClusterNamespace],
      nullable: true,
      complexity: { field: CALL_COST, multiplier: 5 },
      description: 'Its namespaces, at most 250.',
      resolve: (live, _args, _context, { path }) => live.namespaces(String(path.key)),
    }),
    resources: t.field({
      type: ResourceList,
      nullable: true,
      complexity: ({ first }) => ({ field: 2 * CALL_COST, multiplier: Math.max(1, first ?? 50) }),
      description: 'A page of the objects of any kind.',
      args: {
        apiVersion: t.arg.string({ required: true, description: 'Group and version, such as `v1` or `apps/v1`.' }),
        kind: t.arg.string({ required: true, description: 'The kind, such as `Pod`.' }),
        namespace: t.arg.string({ description: 'In this namespace alone; in all when absent.' }),
        labelSelector: t.arg.string({ description: 'Kubernetes’ grammar.' }),
        fieldSelector: t.arg.string({ description: 'Kubernetes’ grammar, such as `status.phase=Running`.' }),
        first: t.arg.int({ required: true, defaultValue: 50, description: 'How many objects, 1 to 250.' }),
        after: t.arg.string({ description: '`next` of the page before.' }),
      },
      resolve: (live, args, _context, { path }) => live.resources(String(path.key), args),
    }),
    faults: t.field({
      type: [LiveFault],
      description: 'The parts that failed.',
      resolve: async (live) => [...(await live.faults())],
    }),
  }),
});

builder.prismaObjectField(Cluster, 'live', (t) =>
  t.field({
    type: ClusterLive,
    nullable: true,
    description: 'What the cluster answers now; null for who may not ask it.',
    select: { id: true, uid: true, enabled: true, inCluster: true, credentialsVersion: true, credentialProblem: true },
    resolve: async (cluster, _args, { fleet, caller, refresh, database, liveBudget }, { operation }) => {
      // A stream outlives what its caller may do.
      const now = operation.operation === 'subscription' ? await refresh(await database.counters()) : caller;
      return now.viewer ? fleet.live(now, cluster, liveBudget) : null;
    },
  }),
);
