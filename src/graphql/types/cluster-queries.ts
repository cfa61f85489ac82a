import { queryFromInfo } from '@pothos/plugin-prisma';
import { type GraphQLResolveInfo, Kind } from 'graphql';
import { canReadEveryCluster } from '../../domain/access/permissions.ts';
import type { ClusterState } from '../../domain/clusters/cluster.ts';
import { writeChangesCursor } from '../../domain/clusters/cluster-changes.ts';
import { type ClusterBy, type ClusterQuery, type ListArguments, MAX_UIDS } from '../../domain/clusters/cluster-list.ts';
import { stepsOfFilter } from '../../domain/clusters/filter-steps.ts';
import { countRequirements } from '../../domain/clusters/label-selector.ts';
import { type VisibleChanges, writeVisibleCursor } from '../../domain/clusters/visible-clusters.ts';
import { invalidInput } from '../../domain/errors.ts';
import { DEFAULT_PAGE, MAX_PAGE } from '../../domain/page.ts';
import { builder } from '../builder.ts';
import type { Context } from '../context.ts';
import { decodeGlobalId } from '../global-id.ts';
import type { CountWork } from '../work.ts';
import { Cluster, ClusterStateEnum } from './cluster.ts';
import { describedEnum } from './enums.ts';

export const ClusterByInput = builder.inputType('ClusterBy', {
  description: 'One of the three ways to name a cluster.',
  isOneOf: true,
  fields: (t) => ({
    id: t.id({ description: 'By its global id.' }),
    databaseId: t.int({ description: 'By the id that the REST routes use.' }),
    name: t.string({ description: 'By its name, byte for byte.' }),
  }),
});

export const ClusterFilterInput = builder.inputType('ClusterFilter', {
  description: 'Clusters for which everything given holds.',
  fields: (t) => ({
    search: t.string({ description: 'Stands in the name or the description, in any letter case.' }),
    names: t.stringList({ description: 'Has one of these names.' }),
    states: t.field({ type: [ClusterStateEnum], description: 'Is in one of these states.' }),
    enabled: t.boolean({ description: 'Is enabled, or is not.' }),
    credentialExpiresWithinDays: t.int({
      description: 'Its credential or CA ends within so many days, or has ended. 0 to 3,650.',
    }),
    labelSelector: t.string({ description: 'Kubernetes’ grammar: `env in (staging, prod), !legacy, tier != db`.' }),
  }),
});

const ClusterOrderField = builder.enumType('ClusterOrderField', {
  description: 'What clusters can be ordered by.',
  values: describedEnum(['NAME', 'CREATED_AT', 'DATABASE_ID'], {
    NAME: 'The name, byte for byte.',
    CREATED_AT: 'When they were registered.',
    DATABASE_ID: 'The id that the REST routes use.',
  }),
});

const OrderDirection = builder.enumType('OrderDirection', {
  description: 'Which end comes first.',
  values: describedEnum(['ASC', 'DESC'], { ASC: 'The smallest first.', DESC: 'The greatest first.' }),
});

const ClusterOrderInput = builder.inputType('ClusterOrder', {
  description: 'The order of clusters.',
  fields: (t) => ({
    field: t.field({ type: ClusterOrderField, required: true, description: 'What to order by.' }),
    direction: t.field({
      type: OrderDirection,
      required: true,
      defaultValue: 'ASC',
      description: 'Which end comes first.',
    }),
  }),
});

const ClusterStateCount = builder.objectRef<{ state: ClusterState; count: number }>('ClusterStateCount').implement({
  description: 'How many clusters are in a state.',
  fields: (t) => ({
    state: t.expose('state', { type: ClusterStateEnum, description: 'The state.' }),
    count: t.exposeInt('count', { description: 'How many clusters are in it.' }),
  }),
});

/** The domain's way to name a cluster; a global id of another type names none. */
export function clusterBy({ id, databaseId, name }: typeof ClusterByInput.$inferInput): ClusterBy {
  if (databaseId != null) return { databaseId };
  if (name != null) return { name };
  const decoded = decodeGlobalId(String(id));
  return { uid: decoded.typename === 'Cluster' ? decoded.id : '' };
}

/** A requirement of a label selector is a look at each cluster, and for the counts at each once more. */
const REQUIREMENT_COST = 50;

/** Steps for the id of a row that leaves the database. */
const STEPS_OF_ID = 3;
/** Steps for a row that is counted untested. */
const COUNT_OF_ROW = 0.1;

/** The page is read, then whether rows stand behind it, and each count goes over all that match. */
const countClusters: CountWork = (args, { times, context: { caller } }) => {
  const { filter, after, before, last } = args as ListArguments;
  const counted = times('totalCount') + times('stateCounts');
  const behind = (last == null ? after : before) == null ? 0 : 1;
  const isScoped = !canReadEveryCluster(caller);
  if (!filter && counted === 0 && !isScoped) return undefined;
  return (counts) => {
    // The ids that match are compared with those that are visible; all counts share one look.
    if (isScoped) {
      const steps = STEPS_OF_ID * counts.clusters + stepsOfFilter(filter ?? {}, counts);
      return { steps, times: 1 + behind + Math.min(counted, 1), what: 'finding the clusters that you may read' };
    }
    const [steps, all] = [stepsOfFilter(filter ?? {}, counts), counts.clusters.toLocaleString('en')];
    if (steps === 0) return { steps: COUNT_OF_ROW * counts.clusters, times: counted, what: `counting ${all} clusters` };
    return { steps, times: 1 + behind + counted, what: `testing ${all} clusters against a filter` };
  };
};

/** The way to a field; through a union or an interface it names the type. */
type Path = (string | { name: string; type: string })[];

/** What the document asks of the clusters under these paths of the field. */
export function clusterQuery(context: Context, info: GraphQLResolveInfo, ...paths: Path[]): ClusterQuery {
  return queryFromInfo({ context, info, typeName: 'Cluster', paths }) as ClusterQuery;
}

/** Whether a field is selected right below the field that is resolved, also where a directive skips it. */
function selects({ fieldNodes, fragments }: GraphQLResolveInfo, name: string): boolean {
  const sets = new Set(fieldNodes.flatMap(({ selectionSet }) => selectionSet ?? []));
  // A set that is added meanwhile is visited too, and each one once.
  for (const { selections } of sets)
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD && selection.name.value === name) return true;
      if (selection.kind === Kind.INLINE_FRAGMENT) sets.add(selection.selectionSet);
      const fragment = selection.kind === Kind.FRAGMENT_SPREAD ? fragments[selection.name.value] : undefined;
      if (fragment) sets.add(fragment.selectionSet);
    }
  return false;
}

builder.queryFields((t) => ({
  node: t.field({
    type: builder.nodeInterfaceRef(),
    nullable: true,
    description: 'Anything by its global id; null when it is not there, or not the viewer’s to see.',
    args: { id: t.arg.id({ required: true, description: 'The global id.' }) },
    resolve: async (_root, { id }, context, info) => {
      const found = await context.clusterList.find(context.caller, clusterBy({ id }), clusterQuery(context, info));
      return found && { __typename: 'Cluster', ...found };
    },
  }),
  nodes: t.field({
    type: [builder.nodeInterfaceRef()],
    nullable: { list: false, items: true },
    description: 'At most 100 by their global ids, in that order; null for each that is not there.',
    complexity: ({ ids }) => ({ field: 1, multiplier: Math.min(ids.length, MAX_UIDS) }),
    args: { ids: t.arg.idList({ required: true, description: 'The global ids.' }) },
    resolve: async (_root, { ids }, context, info) => {
      if (ids.length > MAX_UIDS) throw invalidInput([{ path: ['ids'], message: `must be at most ${MAX_UIDS} ids` }]);
      const bys = ids.map((id) => clusterBy({ id }));
      const uids = bys.flatMap((by) => ('uid' in by ? [by.uid] : []));
      const found = await context.clusterList.findMany(context.caller, uids, clusterQuery(context, info));
      const byUid = new Map(found.map((cluster) => [cluster.uid, { __typename: 'Cluster', ...cluster }]));
      return uids.map((uid) => byUid.get(uid) ?? null);
    },
  }),
  cluster: t.prismaField({
    type: Cluster,
    nullable: true,
    description: 'One cluster; null when it is not there, or not the viewer’s to see.',
    args: { by: t.arg({ type: ClusterByInput, required: true, description: 'Which one.' }) },
    resolve: (query, _root, { by }, { clusterList, caller }) => clusterList.find(caller, clusterBy(by), query),
  }),
  defaultCluster: t.prismaField({
    type: Cluster,
    nullable: true,
    description: 'The default cluster; null when there is none.',
    resolve: (query, _root, _args, { clusterList, caller }) => clusterList.findDefault(caller, query),
  }),
  clusters: t.connection(
    {
      type: Cluster,
      description: 'The registry, a page at a time; ordered by database id unless told otherwise.',
      // More than a page is refused by its name, not by its cost.
      complexity: ({ first, last, filter }) => ({
        field: 1 + REQUIREMENT_COST * countRequirements(filter?.labelSelector ?? ''),
        multiplier: Math.min(Math.max(1, first ?? last ?? DEFAULT_PAGE), MAX_PAGE),
      }),
      extensions: { work: countClusters },
      args: {
        filter: t.arg({ type: ClusterFilterInput, description: 'Only clusters for which this holds.' }),
        orderBy: t.arg({ type: ClusterOrderInput, description: 'The order; by database id when absent.' }),
      },
      resolve: async (_root, args, context, info) => {
        const { clusterList, caller, unlimited } = context;
        if (args.filter?.credentialExpiresWithinDays != null) context.answer.readsClock = true;
        const query = clusterQuery(context, info, ['edges', 'node'], ['nodes']);
        const withChanges = selects(info, 'changesCursor');
        const page = await clusterList.page(caller, args, query, { unlimited, withChanges });
        const { edges, hasNextPage, hasPreviousPage } = page;
        return {
          ...page,
          edges,
          pageInfo: {
            ...{ hasNextPage, hasPreviousPage },
            startCursor: edges[0]?.cursor ?? null,
            endCursor: edges.at(-1)?.cursor ?? null,
          },
        };
      },
    },
    {
      name: 'ClusterConnection',
      description: 'A page of clusters, and the counts over all that match.',
      fields: (t) => ({
        totalCount: t.int({
          description: 'How many clusters match the filter.',
          resolve: (page) => (page as unknown as Counts).totalCount(),
        }),
        stateCounts: t.field({
          type: [ClusterStateCount],
          description: 'How many of the clusters that match the filter are in each state; states of none are left out.',
          resolve: (page) => (page as unknown as Counts).stateCounts(),
        }),
        changesCursor: t.string({
          description: 'Where changes after this page begin: `after` of the subscription `clusterChanged`.',
          resolve: (page, _args, { counters }) => {
            const { changes } = page as unknown as Counts;
            return changes ? writeVisibleCursor(changes) : writeChangesCursor(counters);
          },
        }),
      }),
    },
    { name: 'ClusterEdge', description: 'A cluster on a page, with its cursor.' },
  ),
}));

interface Counts {
  readonly changes: VisibleChanges | undefined;
  totalCount(): Promise<number>;
  stateCounts(): Promise<{ state: ClusterState; count: number }[]>;
}
