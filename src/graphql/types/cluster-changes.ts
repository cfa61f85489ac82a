import type { ClusterChange as DomainChange } from '../../domain/clusters/change-reader.ts';
import { stepsOfFilter } from '../../domain/clusters/filter-steps.ts';
import { builder } from '../builder.ts';
import { encodeGlobalId } from '../global-id.ts';
import type { EstimateWork } from '../work.ts';
import { Cluster } from './cluster.ts';
import { ClusterFilterInput, clusterQuery } from './cluster-queries.ts';

type Change = DomainChange<typeof Cluster.$inferType>;
type Upserted = Extract<Change, { kind: 'UPSERTED' }>;
type Removed = Extract<Change, { kind: 'REMOVED' }>;
type Reset = Extract<Change, { kind: 'RESET' }>;

const CURSOR = 'The cursor of this change. Pass it as `after` to resume the subscription after this change.';

const ClusterUpserted = builder.objectRef<Upserted>('ClusterUpserted').implement({
  description: 'A cluster was registered or changed and matches the filter, or an existing cluster now matches it.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: CURSOR }),
    cluster: t.expose('cluster', { type: Cluster, description: 'The cluster after the change.' }),
  }),
});

const ClusterRemoved = builder.objectRef<Removed>('ClusterRemoved').implement({
  description:
    'A cluster was deleted, is no longer visible to you, or does not match the filter. You may never have received that cluster.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: CURSOR }),
    id: t.id({ description: 'The global id of the cluster.', resolve: ({ uid }) => encodeGlobalId('Cluster', uid) }),
    databaseId: t.exposeInt('databaseId', { description: 'The id of the cluster in the REST API.' }),
  }),
});

const ClusterChangesReset = builder.objectRef<Reset>('ClusterChangesReset').implement({
  description:
    'Changes were skipped because `after` is too old or too many clusters changed. List the clusters again, then continue from `cursor`.',
  fields: (t) => ({ cursor: t.exposeString('cursor', { description: CURSOR }) }),
});

const TYPES = { UPSERTED: 'ClusterUpserted', REMOVED: 'ClusterRemoved', RESET: 'ClusterChangesReset' } as const;

const ClusterChange = builder.unionType('ClusterChange', {
  description:
    'A change of a cluster. Changes arrive in order, each at least once. Of several changes to one cluster, only the last may arrive.',
  types: [ClusterUpserted, ClusterRemoved, ClusterChangesReset],
  resolveType: ({ kind }) => TYPES[kind],
});

/**
 * Rows tested when 50 clusters change and the caller has 50 streams (the maximum): each stream tests every row itself.
 */
const ROWS_TESTED = 50 * 50;

const countSubscriptionWork: EstimateWork = ({ filter }) => {
  if (!filter) return undefined;
  return ({ clusters, searchBytes }) => {
    const tested = { clusters: ROWS_TESTED, searchBytes: (searchBytes * ROWS_TESTED) / Math.max(clusters, 1) };
    return { steps: stepsOfFilter(filter, tested), times: 1, what: 'testing each change against a filter' };
  };
};

builder.subscriptionField('clusterChanged', (t) =>
  t.field({
    type: ClusterChange,
    description:
      'Streams changes of the clusters that match the filter, starting after the cursor `after`, or now if it is absent.',
    extensions: { work: countSubscriptionWork },
    args: {
      filter: t.arg({
        type: ClusterFilterInput,
        description: 'Streams only changes of clusters that match this filter.',
      }),
      after: t.arg.string({
        description:
          'The cursor to start after: `changesCursor` of a cluster list, or `cursor` of the last change received.',
      }),
    },
    subscribe: (_root, args, context, info) =>
      context.clusterChanges.follow(
        context.caller,
        args,
        clusterQuery(context, info, [{ name: 'cluster', type: 'ClusterUpserted' }]),
        { signal: context.signal },
      ) as AsyncIterable<Change>,
    resolve: (change, _args, { liveBudget, responseSize }) => {
      liveBudget.renew();
      responseSize?.renew();
      return change;
    },
  }),
);
