import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Action } from './permissions.ts';

/** What a role gives: actions, and the clusters they hold for. */
export interface Grant {
  readonly actions: ReadonlySet<Action>;
  /** The clusters as a filter; undefined: every one, also those that are yet to come. */
  readonly clusters?: Prisma.ClusterWhereInput | undefined;
  /** The steps of testing one cluster against that filter (clusters/filter-steps.ts). */
  readonly steps?: number | undefined;
}

/** Who asks: a person, an API key, or Kitestring itself (the command line, the configuration at start). */
export interface Viewer {
  readonly kind: 'USER' | 'API_KEY' | 'SYSTEM';
  /** Stable across renames; what audit records name. */
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly grants: readonly Grant[];
  /** The person: the viewer itself, or the owner of the key. */
  readonly userId?: number | undefined;
  /** What the session is stored under that a person came with. */
  readonly session?: string | undefined;
  /** When the session or key ends that they came with, unless it is lengthened. */
  readonly expiresAt?: Date | undefined;
}

/** What a caller's limits are counted by: a user with all of their keys, or a service's key. */
export function limitKeyOf({ id, userId }: Viewer): string {
  return userId === undefined ? id : `user:${userId}`;
}

/** The one who asks, and through which request. A stranger has no viewer. */
export interface Caller {
  readonly viewer: Viewer | null;
  readonly requestId?: string;
  /** The address that the request came from, as the proxies that are trusted tell it. */
  readonly address?: string | undefined;
  /** Who they are by now: a request may take longer than its caller keeps what they may. */
  readonly refresh?: () => Promise<Caller>;
}
