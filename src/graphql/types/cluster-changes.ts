import type { ClusterChange as DomainChange } from '../../domain/clusters/cluster-changes.ts';
import { stepsOfFilter } from '../../domain/clusters/filter-steps.ts';
import { builder } from '../builder.ts';
import { encodeGlobalId } from '../global-id.ts';
import type { CountWork } from '../work.ts';
import { Cluster } from './cluster.ts';
import { ClusterFilterInput, clusterQuery } from './cluster-queries.ts';

type Change = DomainChange<typeof Cluster.$inferType>;
type Upserted = Extract<Change, { kind: 'UPSERTED' }>;
type Removed = Extract<Change, { kind: 'REMOVED' }>;
type Reset = Extract<Change, { kind: 'RESET' }>;

const CURSOR = 'Where to go on after this: `after` of the next subscription.';

const ClusterUpserted = builder.objectRef<Upserted>('ClusterUpserted').implement({
  description: 'A cluster that matches was registered or changed, or matches now.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: CURSOR }),
    cluster: t.expose('cluster', { type: Cluster, description: 'The cluster as it is now.' }),
  }),
});

const ClusterRemoved = builder.objectRef<Removed>('ClusterRemoved').implement({
  description: 'A cluster is deleted, hidden from you now, or does not match; you may never have held it.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: CURSOR }),
    id: t.id({ description: 'Its global id.', resolve: ({ uid }) => encodeGlobalId('Cluster', uid) }),
    databaseId: t.exposeInt('databaseId', { description: 'The id that the REST routes use.' }),
  }),
});

const ClusterChangesReset = builder.objectRef<Reset>('ClusterChangesReset').implement({
  description: '`after` is too old, or more has changed than is told one by one: list again, then go on from here.',
  fields: (t) => ({ cursor: t.exposeString('cursor', { description: CURSOR }) }),
});

const TYPES = { UPSERTED: 'ClusterUpserted', REMOVED: 'ClusterRemoved', RESET: 'ClusterChangesReset' } as const;

const ClusterChange = builder.unionType('ClusterChange', {
  description:
    'A change of a cluster. Changes come in order, each at least once; of several of one cluster perhaps the last alone.',
  types: [ClusterUpserted, ClusterRemoved, ClusterChangesReset],
  resolveType: ({ kind }) => TYPES[kind],
});

/** A change of 50 clusters, told to as many streams as one caller may have: each tests the rows anew. */
const ROWS_TOLD = 50 * 50;

const countFollowed: CountWork = ({ filter }) => {
  if (!filter) return undefined;
  return ({ clusters, searchBytes }) => {
    const told = { clusters: ROWS_TOLD, searchBytes: (searchBytes * ROWS_TOLD) / Math.max(clusters, 1) };
    return { steps: stepsOfFilter(filter, told), times: 1, what: 'testing each change against a filter' };
  };
};

builder.subscriptionField('clusterChanged', (t) =>
  t.field({
    type: ClusterChange,
    description: 'Changes of the clusters that match, beginning after the cursor; without one, from now on.',
    extensions: { work: countFollowed },
    args: {
      filter: t.arg({ type: ClusterFilterInput, description: 'Only clusters for which this holds.' }),
      after: t.arg.string({ description: 'The `changesCursor` of a list, or the `cursor` of the last change.' }),
    },
    subscribe: (_root, args, context, info) =>
      context.clusterChanges.follow(
        context.caller,
        args,
        clusterQuery(context, info, [{ name: 'cluster', type: 'ClusterUpserted' }]),
        { signal: context.signal, caller: context.refresh },
      ) as AsyncIterable<Change>,
    resolve: (change, _args, { liveBudget, answerSize }) => {
      liveBudget.renew();
      answerSize?.renew();
      return change;
    },
  }),
);
