import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Action } from './action.ts';

/** The actions that a role grants, and the clusters that they apply to. */
export interface Grant {
  readonly actions: ReadonlySet<Action>;
  /** The clusters as a Prisma filter. Undefined means every cluster, including clusters registered later. */
  readonly clusters?: Prisma.ClusterWhereInput | undefined;
  /** The number of steps that it takes to test one cluster against that filter (clusters/filter-steps.ts). */
  readonly steps?: number | undefined;
}

/** An authenticated caller: a user, an API key, or Kitestring itself (command line, configuration, prober). */
export interface Viewer {
  readonly kind: 'USER' | 'API_KEY' | 'SYSTEM';
  /** Stable across renames. Audit records store it. */
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly grants: readonly Grant[];
  /** The id of the user, or of the user who owns the API key. Undefined for a service key. */
  readonly userId?: number | undefined;
  /** The hash that identifies the session in the database. Set only if a session authenticated the user. */
  readonly session?: string | undefined;
  /** When the session or the API key expires. A session can be extended. */
  readonly expiresAt?: Date | undefined;
}

/** The key for per-caller limits. A user and all of their API keys share one limit; each service key has its own. */
export function limitKeyOf({ id, userId }: Viewer): string {
  return userId === undefined ? id : `user:${userId}`;
}

/** The caller of an operation and the request it came from. An anonymous caller has no viewer. */
export interface Caller {
  readonly viewer: Viewer | null;
  readonly requestId?: string;
  /** The IP address of the client, as reported by the trusted proxies. */
  readonly address?: string | undefined;
  /**
   * Authenticates the caller again. Use it in long requests: the key, session or role may have been removed since the
   * request started.
   */
  readonly refresh?: () => Promise<Caller>;
}
