import { hasActionOnAll, requireViewer } from '../../domain/access/permissions.ts';
import type { AuditPage, AuditRow } from '../../domain/audit-log.ts';
import { DEFAULT_PAGE, MAX_PAGE } from '../../domain/page.ts';
import { builder } from '../builder.ts';
import { encodeGlobalId } from '../global-id.ts';
import type { CountWork } from '../work.ts';
import { ClusterByInput, clusterBy } from './cluster-queries.ts';

const AuditRecord = builder.objectRef<AuditRow>('AuditRecord').implement({
  description: 'Who did what to what, and when; or tried to, and was refused.',
  fields: (t) => ({
    databaseId: t.exposeInt('id', { description: 'Its number: later records have greater ones.' }),
    at: t.expose('at', { type: 'DateTime', description: 'When.' }),
    actorId: t.exposeString('actorId', {
      description: 'Who: `user:<id>`, `api-key:<id>`, `system:<name>` for Kitestring itself, or `stranger`.',
    }),
    actorName: t.exposeString('actorName', { description: 'The name that they, or the key, had then.' }),
    userId: t.exposeInt('userId', {
      nullable: true,
      description: 'The person, also where one of their keys was used.',
    }),
    apiKeyId: t.exposeInt('apiKeyId', { nullable: true, description: 'The API key that was used.' }),
    action: t.exposeString('action', { description: 'What, such as `cluster.update` or `session.begin`.' }),
    outcome: t.exposeString('outcome', { description: 'DONE, or the code of the refusal.' }),
    clusterId: t.id({
      nullable: true,
      description: 'The global id of the cluster.',
      resolve: ({ clusterUid }) => (clusterUid === null ? null : encodeGlobalId('Cluster', clusterUid)),
    }),
    clusterDatabaseId: t.exposeInt('clusterId', {
      nullable: true,
      description: 'The id of the cluster that REST uses.',
    }),
    clusterName: t.exposeString('clusterName', {
      nullable: true,
      description: 'The name that the cluster had before.',
    }),
    address: t.exposeString('address', { nullable: true, description: 'Where the request came from.' }),
    requestId: t.exposeString('requestId', { nullable: true, description: 'The request, as the log has it.' }),
    changes: t.field({
      type: 'JSON',
      description: 'For each field that changed its old and its new value (`from`, `to`); a secret is only `changed`.',
      resolve: ({ changes }) => changes,
    }),
  }),
});

const AuditFilterInput = builder.inputType('AuditFilter', {
  description: 'Records for which everything given holds.',
  fields: (t) => ({
    actor: t.string({ description: 'By this id (`user:3`: by their keys too), or by this name.' }),
    action: t.string({ description: 'Of this action, such as `cluster.update`.' }),
    cluster: t.field({ type: ClusterByInput, description: 'Of this cluster; it may be gone.' }),
    since: t.field({ type: 'DateTime', description: 'From this time on.' }),
    until: t.field({ type: 'DateTime', description: 'Before this time.' }),
    outcome: t.string({ description: 'DONE, or the code of a refusal.' }),
  }),
});

interface Counts {
  totalCount(): Promise<number>;
}

/** Steps for one record of a scan, for one that an index counts, and for one uid of a scope in each statement. */
const RECORD_SCANNED = 0.35;
const RECORD_COUNTED = 0.06;
const UID_SENT = 3;

/** Without a filter, or by the cluster alone, an index leads to the page; any other filter may test every record. */
const countAudit: CountWork = (args, { context: { caller }, times }) => {
  const { filter, after, before, last } = args as AuditPage;
  const given = Object.entries(filter ?? {}).filter(([name, value]) => name !== 'cluster' && value != null);
  const isScoped = !hasActionOnAll(requireViewer(caller), 'audit.read');
  const isScanned = given.length > 0 || isScoped;
  const counted = times('totalCount');
  const behind = (last == null ? after : before) == null ? 0 : 1;
  if (!isScanned && counted === 0) return undefined;
  return ({ auditRecords, clusters }) => {
    const all = auditRecords.toLocaleString('en');
    if (!isScanned)
      return { steps: RECORD_COUNTED * auditRecords, times: counted, what: `counting ${all} audit records` };
    const steps = RECORD_SCANNED * auditRecords + (isScoped ? UID_SENT * clusters : 0);
    const among = isScoped ? ` among those of ${clusters.toLocaleString('en')} clusters` : '';
    return { steps, times: 1 + behind + counted, what: `testing ${all} audit records${among}` };
  };
};

builder.queryField('auditLog', (t) =>
  t.connection(
    {
      type: AuditRecord,
      description:
        'The audit log, the newest first. Whoever may read it for some clusters sees the records of those alone.',
      complexity: ({ first, last }) => ({
        field: 1,
        multiplier: Math.min(Math.max(1, first ?? last ?? DEFAULT_PAGE), MAX_PAGE),
      }),
      extensions: { work: countAudit },
      args: { filter: t.arg({ type: AuditFilterInput, description: 'Only records for which this holds.' }) },
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
      description: 'A page of the audit log.',
      fields: (t) => ({
        totalCount: t.int({
          description: 'How many records match the filter.',
          resolve: (page) => (page as unknown as Counts).totalCount(),
        }),
      }),
    },
    { name: 'AuditEdge', description: 'A record on a page, with its cursor.' },
  ),
);
