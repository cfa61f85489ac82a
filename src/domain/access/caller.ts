import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { DomainError } from '../errors.ts';
import type { Action } from './action.ts';
import { rolesOfKey, rolesOfSession } from './current-roles.ts';
import { userViewerId } from './viewer-id.ts';

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
  /** Stable across renames (viewer-id.ts). Audit records store it. */
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
  return userId === undefined ? id : userViewerId(userId);
}

/** Identifies a caller for limits: by the viewer, or by the address if the caller is anonymous. */
export interface CallerIdentity {
  readonly viewer: Viewer | null;
  readonly address?: string | undefined;
}

interface CallerOptions extends CallerIdentity {
  readonly requestId?: string | undefined;
  /** Authenticates the request again. Absent: the viewer never changes. */
  readonly authenticate?: (() => Promise<Viewer | null>) | undefined;
}

/** The error message for anonymous callers. */
export const SIGN_IN_FIRST = 'Sign in first, or send an API key as Authorization';

/** The caller of an operation with current permissions, and the request that the operation came from. */
export class Caller {
  /** Null for an anonymous caller. */
  readonly viewer: Viewer | null;
  readonly requestId: string | undefined;
  /** The IP address of the client, as reported by the trusted proxies. */
  readonly address: string | undefined;
  readonly #authenticate: CallerOptions['authenticate'];

  constructor({ viewer, requestId, address, authenticate }: CallerOptions) {
    this.viewer = viewer;
    this.requestId = requestId;
    this.address = address;
    this.#authenticate = authenticate;
  }

  /** The same request with another viewer, such as a user that has just signed in. */
  as(viewer: Viewer): Caller {
    return new Caller({ viewer, requestId: this.requestId, address: this.address });
  }

  /**
   * Returns the caller with current permissions. Call it after a wait, in which a key may have been revoked, a session
   * ended or a role removed.
   */
  async refresh(): Promise<Caller> {
    const authenticate = this.#authenticate;
    if (!authenticate) return this;
    const { requestId, address } = this;
    return new Caller({ viewer: await authenticate(), requestId, address, authenticate });
  }

  /**
   * Throws if the key, session or a role of the caller was removed while a change waited for the write lock. Call it
   * first in the transaction. It reads through `tx` only: `refresh` would wait for the transaction itself.
   */
  async reauthorizeInTransaction(tx: Transaction): Promise<void> {
    const { viewer } = this;
    if (!viewer || viewer.kind === 'SYSTEM') return;
    const roles = await (viewer.kind === 'API_KEY' ? rolesOfKey(tx, viewer.id) : rolesOfSession(tx, viewer.session));
    if (!roles) throw new DomainError('UNAUTHENTICATED', SIGN_IN_FIRST);
    if (viewer.roles.some((role) => !roles.includes(role)))
      throw new DomainError('FORBIDDEN', 'one of your roles was removed while the request ran: send it again');
  }
}
