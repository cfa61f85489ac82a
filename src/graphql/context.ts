import type { Caller } from '../domain/access/caller.ts';
import type { ApiKeys } from '../domain/accounts/api-keys.ts';
import type { OpenId } from '../domain/accounts/open-id/open-id.ts';
import type { Roles } from '../domain/accounts/roles.ts';
import type { Sessions } from '../domain/accounts/sessions.ts';
import type { SetUp } from '../domain/accounts/set-up.ts';
import type { Users } from '../domain/accounts/users.ts';
import type { AuditLog } from '../domain/audit/audit-log.ts';
import type { ClusterChanges } from '../domain/clusters/cluster-changes.ts';
import type { ClusterImport } from '../domain/clusters/cluster-import.ts';
import type { ClusterList } from '../domain/clusters/cluster-list.ts';
import type { Clusters } from '../domain/clusters/clusters.ts';
import type { ClusterProbes } from '../domain/probing/cluster-probes.ts';
import type { Fleet } from '../domain/probing/fleet.ts';
import type { LiveBudget } from '../domain/probing/live-reads.ts';
import type { Statuses } from '../domain/probing/statuses.ts';
import type { Sizes } from '../domain/sizes.ts';
import type { Counters, Database } from '../storage/database.ts';
import type { Charge } from './charge.ts';
import type { ResponseSize } from './response-size.ts';

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

/** The context value of every resolver, the same for a GraphQL request and for a REST route. */
export interface Context extends Services {
  readonly caller: Caller;
  /** The values of the three change counters when the request arrived. */
  readonly counters: Counters;
  /** Disables the page and cost limits. Set only for the REST routes' own documents; no HTTP request can set it. */
  readonly unlimited: boolean;
  /** Aborted when the client disconnects or the server shuts down. */
  readonly signal: AbortSignal;
  /**
   * Set during execution. `isCacheable`: the response may be cached until a counter changes. `readsClock`: the response
   * depends on the current time. `operation`: kind and first root field, such as `query clusters`. `cost`: its total
   * cost.
   */
  readonly responseFacts: { isCacheable: boolean; readsClock?: boolean; operation?: string; cost?: number };
  readonly charge: Charge;
  /** Counts the bytes of the response. Undefined for the REST routes' documents, which have no size limit. */
  readonly responseSize?: ResponseSize | undefined;
  /** The remaining calls to clusters, time and memory for live reads of this document. */
  readonly liveBudget: LiveBudget;
}
