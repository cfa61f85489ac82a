import { queryFromInfo } from '@pothos/plugin-prisma';
import { type GraphQLResolveInfo, Kind } from 'graphql';
import type { ClusterBy, ClusterQuery } from '../../domain/access/clusters.ts';
import { canReadEveryCluster } from '../../domain/access/permissions.ts';
import { type VisibleChanges, writeVisibleCursor } from '../../domain/access/visible-clusters.ts';
import type { ClusterState } from '../../domain/cluster-status.ts';
import { writeChangesCursor } from '../../domain/clusters/changes-cursor.ts';
import { type ListArguments, MAX_UIDS } from '../../domain/clusters/cluster-list.ts';
import { stepsOfFilter } from '../../domain/clusters/filter-steps.ts';
import { invalidInput } from '../../domain/errors.ts';
import { countRequirements } from '../../domain/label-selector.ts';
import { DEFAULT_PAGE, MAX_PAGE } from '../../domain/page.ts';
import { builder } from '../builder.ts';
import type { Context } from '../context.ts';
import { decodeGlobalId } from '../global-id.ts';
import type { EstimateWork } from '../work.ts';
import { Cluster, ClusterStateEnum } from './cluster.ts';
import { describedEnum } from './enums.ts';

export const ClusterByInput = builder.inputType('ClusterBy', {
  description: 'Identifies one cluster. Exactly one field must be set.',
  isOneOf: true,
  fields: (t) => ({
    id: t.id({ description: 'The global id of the cluster.' }),
    databaseId: t.int({ description: 'The id of the cluster in the REST API.' }),
    name: t.string({ description: 'The name of the cluster, compared byte for byte.' }),
  }),
});

export const ClusterFilterInput = builder.inputType('ClusterFilter', {
  description: 'Restricts clusters. A cluster must match every field that is set.',
  fields: (t) => ({
    search: t.string({ description: 'Clusters with this text in their name or description, ignoring case.' }),
    names: t.stringList({ description: 'Clusters with one of these names.' }),
    states: t.field({ type: [ClusterStateEnum], description: 'Clusters in one of these states.' }),
    enabled: t.boolean({ description: 'true: only enabled clusters. false: only disabled clusters.' }),
    credentialExpiresWithinDays: t.int({
      description:
        'Clusters with a credential or CA certificate that expires within this many days, or has expired. 0 to 3,650 days.',
    }),
    labelSelector: t.string({
      description:
        'Clusters with labels that match this Kubernetes label selector, such as `env in (staging, prod), !legacy, tier != db`.',
    }),
  }),
});

const ClusterOrderField = builder.enumType('ClusterOrderField', {
  description: 'The fields by which clusters can be ordered.',
  values: describedEnum(['NAME', 'CREATED_AT', 'DATABASE_ID'], {
    NAME: 'The name, compared byte for byte.',
    CREATED_AT: 'The time of registration.',
    DATABASE_ID: 'The id in the REST API.',
  }),
});

const OrderDirection = builder.enumType('OrderDirection', {
  description: 'The direction of an order.',
  values: describedEnum(['ASC', 'DESC'], {
    ASC: 'Ascending: the smallest value first.',
    DESC: 'Descending: the greatest value first.',
  }),
});

const ClusterOrderInput = builder.inputType('ClusterOrder', {
  description: 'The order in which clusters are returned.',
  fields: (t) => ({
    field: t.field({ type: ClusterOrderField, required: true, description: 'The field to order by.' }),
    direction: t.field({
      type: OrderDirection,
      required: true,
      defaultValue: 'ASC',
      description: 'The direction of the order. Defaults to ascending.',
    }),
  }),
});

const ClusterStateCount = builder.objectRef<{ state: ClusterState; count: number }>('ClusterStateCount').implement({
  description: 'The number of clusters in one state.',
  fields: (t) => ({
    state: t.expose('state', { type: ClusterStateEnum, description: 'The state that is counted.' }),
    count: t.exposeInt('count', { description: 'The number of clusters in this state, at least 1.' }),
  }),
});

/**
 * Converts the input to the domain's `ClusterBy`. A global id of another type becomes an empty uid, which matches no
 * cluster.
 */
export function clusterBy({ id, databaseId, name }: typeof ClusterByInput.$inferInput): ClusterBy {
  if (databaseId != null) return { databaseId };
  if (name != null) return { name };
  const decoded = decodeGlobalId(String(id));
  return { uid: decoded.typename === 'Cluster' ? decoded.id : '' };
}

/** Cost per requirement of a label selector: each cluster is tested against it, and tested again for the counts. */
const REQUIREMENT_COST = 50;

/** Database steps to return the id of one row to the process. */
const STEPS_OF_ID = 3;
/** Database steps per row that is counted without testing a filter. */
const COUNT_OF_ROW = 0.1;

/**
 * Estimates reading the page, checking for rows on its opposite side, and one pass over all matching rows per count.
 */
const countClusters: EstimateWork = (args, { times, context: { caller } }) => {
  const { filter, after, before, last } = args as ListArguments;
  const countFields = times('totalCount') + times('stateCounts');
  const oppositeSideChecks = (last == null ? after : before) == null ? 0 : 1;
  const isScoped = !canReadEveryCluster(caller);
  if (!filter && countFields === 0 && !isScoped) return undefined;
  return (counts) => {
    // Intersect the matching ids with the visible ids. All count fields share one such pass.
    if (isScoped) {
      const steps = STEPS_OF_ID * counts.clusters + stepsOfFilter(filter ?? {}, counts);
      return {
        steps,
        times: 1 + oppositeSideChecks + Math.min(countFields, 1),
        what: 'finding the clusters that you may read',
      };
    }
    const [steps, all] = [stepsOfFilter(filter ?? {}, counts), counts.clusters.toLocaleString('en')];
    if (steps === 0)
      return { steps: COUNT_OF_ROW * counts.clusters, times: countFields, what: `counting ${all} clusters` };
    return { steps, times: 1 + oppositeSideChecks + countFields, what: `testing ${all} clusters against a filter` };
  };
};

/** Path of response fields; a step through a union or an interface also names the object type. */
type Path = (string | { name: string; type: string })[];

/** Builds the Prisma query that loads the fields selected on clusters at these paths below the current field. */
export function clusterQuery(context: Context, info: GraphQLResolveInfo, ...paths: Path[]): ClusterQuery {
  return queryFromInfo({ context, info, typeName: 'Cluster', paths }) as ClusterQuery;
}

/** Whether a field is selected directly below the current field. A selection that a directive skips counts too. */
function selectsField({ fieldNodes, fragments }: GraphQLResolveInfo, name: string): boolean {
  const sets = new Set(fieldNodes.flatMap(({ selectionSet }) => selectionSet ?? []));
  // Iterating a Set also visits elements added during the loop, each once, so recursion is not needed.
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
    description: 'Returns the object with this global id; null if it does not exist or the viewer may not see it.',
    args: { id: t.arg.id({ required: true, description: 'The global id of the object.' }) },
    resolve: async (_root, { id }, context, info) => {
      const found = await context.clusterList.find(context.caller, clusterBy({ id }), clusterQuery(context, info));
      return found && { __typename: 'Cluster', ...found };
    },
  }),
  nodes: t.field({
    type: [builder.nodeInterfaceRef()],
    nullable: { list: false, items: true },
    description:
      'Returns the objects with these global ids, at most 100, in the same order. An item is null if it does not exist or the viewer may not see it.',
    complexity: ({ ids }) => ({ field: 1, multiplier: Math.min(ids.length, MAX_UIDS) }),
    args: { ids: t.arg.idList({ required: true, description: 'The global ids of the objects, at most 100.' }) },
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
    description: 'Returns one cluster; null if it does not exist or the viewer may not see it.',
    args: { by: t.arg({ type: ClusterByInput, required: true, description: 'The cluster to return.' }) },
    resolve: (query, _root, { by }, { clusterList, caller }) => clusterList.find(caller, clusterBy(by), query),
  }),
  defaultCluster: t.prismaField({
    type: Cluster,
    nullable: true,
    description: 'The default cluster; null if there is no default cluster or the viewer may not see it.',
    resolve: (query, _root, _args, { clusterList, caller }) => clusterList.findDefault(caller, query),
  }),
  clusters: t.connection(
    {
      type: Cluster,
      description: 'A page of the clusters that the viewer may see, ordered by database id unless `orderBy` is set.',
      // `readBounds` rejects a page size above MAX_PAGE with an error that names the argument, so cap its cost here.
      complexity: ({ first, last, filter }) => ({
        field: 1 + REQUIREMENT_COST * countRequirements(filter?.labelSelector ?? ''),
        multiplier: Math.min(Math.max(1, first ?? last ?? DEFAULT_PAGE), MAX_PAGE),
      }),
      extensions: { work: countClusters },
      args: {
        filter: t.arg({ type: ClusterFilterInput, description: 'Returns only clusters that match this filter.' }),
        orderBy: t.arg({
          type: ClusterOrderInput,
          description: 'The order of the clusters. Defaults to ascending database id.',
        }),
      },
      resolve: async (_root, args, context, info) => {
        const { clusterList, caller, unlimited } = context;
        if (args.filter?.credentialExpiresWithinDays != null) context.responseFacts.readsClock = true;
        const query = clusterQuery(context, info, ['edges', 'node'], ['nodes']);
        const withChanges = selectsField(info, 'changesCursor');
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
      description: 'A page of clusters, with counts over all clusters that match the filter.',
      fields: (t) => ({
        totalCount: t.int({
          description: 'The number of clusters that match the filter, across all pages.',
          resolve: (page) => (page as unknown as Counts).totalCount(),
        }),
        stateCounts: t.field({
          type: [ClusterStateCount],
          description:
            'The number of clusters in each state, across all clusters that match the filter. States without clusters are omitted.',
          resolve: (page) => (page as unknown as Counts).stateCounts(),
        }),
        changesCursor: t.string({
          description:
            'The cursor to pass as `after` to the subscription `clusterChanged`, to receive the changes made after this page was read.',
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
