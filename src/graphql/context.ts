import type { ApiKeys } from '../domain/access/api-keys.ts';
import type { OpenId } from '../domain/access/open-id.ts';
import type { Roles } from '../domain/access/roles.ts';
import type { Sessions } from '../domain/access/sessions.ts';
import type { SetUp } from '../domain/access/set-up.ts';
import type { Users } from '../domain/access/users.ts';
import type { Caller } from '../domain/access/viewer.ts';
import type { AuditLog } from '../domain/audit-log.ts';
import type { ClusterChanges } from '../domain/clusters/cluster-changes.ts';
import type { ClusterImport } from '../domain/clusters/cluster-import.ts';
import type { ClusterList } from '../domain/clusters/cluster-list.ts';
import type { ClusterProbes } from '../domain/clusters/cluster-probes.ts';
import type { Clusters } from '../domain/clusters/clusters.ts';
import type { Fleet } from '../domain/clusters/fleet.ts';
import type { LiveBudget } from '../domain/clusters/live-reads.ts';
import type { Statuses } from '../domain/clusters/statuses.ts';
import type { Sizes } from '../domain/sizes.ts';
import type { Counters, Database } from '../storage/database.ts';
import type { AnswerSize } from './answer-size.ts';

/** The services that resolvers call; built once by `app.ts`. */
export interface Services {
  readonly database: Database;
  readonly apiKeys: ApiKeys;
  readonly users: Users;
  readonly sessions: Sessions;
  readonly roles: Roles;
  readonly setUp: SetUp;
  readonly openId: OpenId;
  readonly auditLog: AuditLog;
  readonly sizes: Sizes;
  readonly clusters: Clusters;
  readonly clusterList: ClusterList;
  readonly clusterImport: ClusterImport;
  readonly clusterChanges: ClusterChanges;
  readonly statuses: Statuses;
  readonly fleet: Fleet;
  readonly clusterProbes: ClusterProbes;
}

/** What every resolver is handed: the same for a GraphQL request and for a REST row. */
export interface Context extends Services {
  readonly caller: Caller;
  /** The three counters as they were when the request arrived. */
  readonly counters: Counters;
  /** Lifts the page and cost limits. Set for the documents of the REST rows alone; no request over HTTP obtains it. */
  readonly unlimited: boolean;
  /** Aborted when the one who asks leaves, and when the server ends. */
  readonly signal: AbortSignal;
  /** The caller as the credentials of the request are worth at other values of the counters. */
  readonly refresh: (now: Counters) => Promise<Caller>;
  /** Set by the execution: whether the answer may be kept for as long as the counters stand, whether the clock decided, which root field was asked for, and what it cost. */
  readonly answer: { isCacheable: boolean; readsClock?: boolean; operation?: string; cost?: number };
  /** Takes a document's cost from the caller's budget of the minute; the seconds to wait where that does not last. */
  readonly charge: (cost: number) => number | undefined;
  /** Counts the bytes of the answer. Undefined for the documents of the REST rows, whose answers have no limit. */
  readonly answerSize?: AnswerSize | undefined;
  /** What this document may still ask of clusters. */
  readonly liveBudget: LiveBudget;
}
