import { hasActionOnAll, requireViewer } from '../../domain/access/permissions.ts';
import type { AuditPage, AuditRow } from '../../domain/audit/audit-log.ts';
import { DEFAULT_PAGE, MAX_PAGE } from '../../domain/page.ts';
import { builder } from '../builder.ts';
import { encodeGlobalId } from '../global-id.ts';
import type { EstimateWork } from '../work.ts';
import { ClusterByInput, clusterBy } from './cluster-queries.ts';

const AuditRecord = builder.objectRef<AuditRow>('AuditRecord').implement({
  description: 'A record of one change, or of one refused attempt: actor, action, cluster, time and outcome.',
  fields: (t) => ({
    databaseId: t.exposeInt('id', {
      description: 'The id of the record. Ids increase: a later record has a greater id.',
    }),
    at: t.expose('at', { type: 'DateTime', description: 'When the change or the attempt was recorded.' }),
    actorId: t.exposeString('actorId', {
      description:
        'The id of the actor: `user:<id>`, `api-key:<id>`, `system:<name>` for Kitestring itself, or `stranger` for an anonymous caller.',
    }),
    actorName: t.exposeString('actorName', { description: 'The name of the user or API key at that time.' }),
    userId: t.exposeInt('userId', {
      nullable: true,
      description:
        'The id of the user, also if the request used one of their API keys; null if the actor is not a user.',
    }),
    apiKeyId: t.exposeInt('apiKeyId', {
      nullable: true,
      description: 'The id of the API key that the request used; null if it used none.',
    }),
    action: t.exposeString('action', { description: 'The action, such as `cluster.update` or `session.begin`.' }),
    outcome: t.exposeString('outcome', {
      description: '`DONE` if the action succeeded, otherwise the error code of the refusal.',
    }),
    clusterId: t.id({
      nullable: true,
      description:
        'The global id of the cluster, which may have been deleted since; null if the action does not concern one cluster.',
      resolve: ({ clusterUid }) => (clusterUid === null ? null : encodeGlobalId('Cluster', clusterUid)),
    }),
    clusterDatabaseId: t.exposeInt('clusterId', {
      nullable: true,
      description: 'The id of the cluster in the REST API; null if the action does not concern one cluster.',
    }),
    clusterName: t.exposeString('clusterName', {
      nullable: true,
      description: 'The name of the cluster before the action; null if the action does not concern one cluster.',
    }),
    address: t.exposeString('address', {
      nullable: true,
      description: 'The network address that the request came from; null if there was no request.',
    }),
    requestId: t.exposeString('requestId', {
      nullable: true,
      description: 'The id of the request, as written in the log; null if there was no request.',
    }),
    changes: t.field({
      type: 'JSON',
      description:
        'The changed fields, each with its old and new value (`from`, `to`). For a secret only the fact that it `changed` is recorded.',
      resolve: ({ changes }) => changes,
    }),
  }),
});

const AuditFilterInput = builder.inputType('AuditFilter', {
  description: 'Restricts audit records. A record must match every field that is set.',
  fields: (t) => ({
    actor: t.string({
      description: 'Records of this actor, by id or by name. `user:3` includes records of that user’s API keys.',
    }),
    action: t.string({ description: 'Records of this action, such as `cluster.update`.' }),
    cluster: t.field({ type: ClusterByInput, description: 'Records of this cluster, which may have been deleted.' }),
    since: t.field({ type: 'DateTime', description: 'Records at or after this time.' }),
    until: t.field({ type: 'DateTime', description: 'Records before this time.' }),
    outcome: t.string({ description: 'Records with this outcome: `DONE`, or the error code of a refusal.' }),
  }),
});

interface Counts {
  totalCount(): Promise<number>;
}

/**
 * Database steps per record that a scan reads, per record counted by an index, and per cluster uid sent in a statement.
 */
const RECORD_SCANNED = 0.35;
const RECORD_COUNTED = 0.06;
const UID_SENT = 3;

/** An index finds the page if there is no filter, or only a cluster filter. Any other filter may test every record. */
const countAudit: EstimateWork = (args, { context: { caller }, times }) => {
  const { filter, after, before, last } = args as AuditPage;
  const unindexedFilters = Object.entries(filter ?? {}).filter(([name, value]) => name !== 'cluster' && value != null);
  const isScoped = !hasActionOnAll(requireViewer(caller), 'audit.read');
  const isScanned = unindexedFilters.length > 0 || isScoped;
  const totalCounts = times('totalCount');
  const oppositeSideChecks = (last == null ? after : before) == null ? 0 : 1;
  if (!isScanned && totalCounts === 0) return undefined;
  return ({ auditRecords, clusters }) => {
    const all = auditRecords.toLocaleString('en');
    if (!isScanned)
      return { steps: RECORD_COUNTED * auditRecords, times: totalCounts, what: `counting ${all} audit records` };
    const steps = RECORD_SCANNED * auditRecords + (isScoped ? UID_SENT * clusters : 0);
    const among = isScoped ? ` among those of ${clusters.toLocaleString('en')} clusters` : '';
    return { steps, times: 1 + oppositeSideChecks + totalCounts, what: `testing ${all} audit records${among}` };
  };
};

builder.queryField('auditLog', (t) =>
  t.connection(
    {
      type: AuditRecord,
      description:
        'The audit log, newest record first. A viewer with AUDIT_READ for some clusters sees only the records of those clusters.',
      complexity: ({ first, last }) => ({
        field: 1,
        multiplier: Math.min(Math.max(1, first ?? last ?? DEFAULT_PAGE), MAX_PAGE),
      }),
      extensions: { work: countAudit },
      args: { filter: t.arg({ type: AuditFilterInput, description: 'Returns only records that match this filter.' }) },
      resolve: async (_root, { filter, ...page }, { auditLog, caller }) => {
        const cluster = filter?.cluster ? clusterBy(filter.cluster) : undefined;
        const { edges, hasNextPage, hasPreviousPage, totalCount } = await auditLog.page(caller, {
          ...page,
          filter: { ...filter, cluster },
        });
        const [startCursor, endCursor] = [edges[0]?.cursor ?? null, edges.at(-1)?.cursor ?? null];
        return { edges, totalCount, pageInfo: { hasNextPage, hasPreviousPage, startCursor, endCursor } };
      },
    },
    {
      name: 'AuditConnection',
      description: 'A page of audit records.',
      fields: (t) => ({
        totalCount: t.int({
          description: 'The number of records that match the filter and that the viewer may see.',
          resolve: (page) => (page as unknown as Counts).totalCount(),
        }),
      }),
    },
    { name: 'AuditEdge', description: 'An audit record on a page, with its cursor.' },
  ),
);
