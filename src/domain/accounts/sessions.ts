import { hash, randomBytes } from 'node:crypto';
import { networkOf } from '../../ip-address.ts';
import type { Counters, Database } from '../../storage/database.ts';
import type { Caller, Viewer } from '../access/caller.ts';
import { isThrottled } from '../access/throttle.ts';
import { userViewerId } from '../access/viewer-id.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { type Changes, record } from '../audit/record.ts';
import { CautiousClock } from '../cautious-clock.ts';
import { DomainError } from '../errors.ts';
import { canBeName } from '../storable.ts';
import { withHashPlace } from './password.ts';
import type { Roles } from './roles.ts';
import type { SignInLimits } from './sign-in-limits.ts';

/** A session expires after SESSION_MS without a refresh, and after SESSION_END_MS in any case. */
const SESSION_MS = 24 * 60 * 60 * 1000;
const SESSION_END_MS = 30 * 24 * 60 * 60 * 1000;
const MAX_CACHED = 10_000;
/** Refreshing a session more often than this does not write to the database. */
const REFRESH_MS = 60_000;
/**
 * A session that expires more than this beyond the allowed maximum was created under a clock that ran ahead. The margin
 * allows for differences between the clocks of replicas.
 */
const SKEW_MS = 60 * 60_000;

/** A new or refreshed session: the token for the cookie, and when the session expires. */
export interface NewSession {
  readonly token: string;
  readonly expiresAt: Date;
}

interface CachedSession {
  readonly userId: number;
  readonly username: string;
  readonly roles: readonly string[];
  readonly expiresAt: Date;
}

/**
 * Manages user sessions. Sessions are cached until the `access` counter changes; every change that ends a session
 * raises it.
 */
export class Sessions {
  readonly #database: Database;
  readonly #roles: Roles;
  readonly #limits: SignInLimits;
  readonly #audit: AuditLog;
  readonly #now: () => Date;
  readonly #cautiousClock: CautiousClock;
  /** The time of the previous `prune`, in ms since 1970. The first `prune` shortens no session. */
  #lastPrune = Number.POSITIVE_INFINITY;
  #cache: { access: number; sessions: Map<string, CachedSession> } = { access: -1, sessions: new Map() };

  constructor(options: {
    database: Database;
    roles: Roles;
    limits: SignInLimits;
    audit: AuditLog;
    now: () => Date;
  }) {
    this.#database = options.database;
    this.#roles = options.roles;
    this.#limits = options.limits;
    this.#audit = options.audit;
    this.#now = options.now;
    this.#cautiousClock = new CautiousClock(options.now);
  }

  /**
   * Signs a user in by password. Throws CREDENTIALS_WRONG for an unknown username, a wrong password and a disabled
   * user. All three take the same time.
   */
  async signIn(caller: Caller, { username, password }: { username: string; password: string }): Promise<NewSession> {
    const where = { username: canBeName(username) ? username : '' };
    const check = () =>
      // Reserve a hash place before counting the attempt. Otherwise an attempt would count as failed although its
      // password could not be checked.
      withHashPlace(async (hashes) => {
        const attempt = await this.#limits.begin({ username, address: caller.address });
        const user = await this.#database.prisma.user.findUnique({ where });
        return { attempt, user, matches: await hashes.matches(password, user?.passwordHash) };
      });
    const { attempt, user, matches } = await this.#recordThrottled(caller, username, check);
    if (!user || !matches || user.disabled) {
      // Do not record an unknown username: it may be a password typed into the wrong field.
      const changes = user ? { user: { to: username } } : {};
      await this.#audit.recordRefusal(caller, { action: 'session.begin', outcome: 'CREDENTIALS_WRONG', changes });
      throw wrongCredentials();
    }
    await this.#limits.succeed(attempt);
    return this.begin(caller, user.id, { passwordHash: user.passwordHash });
  }

  /**
   * Runs a sign-in attempt. A throttled attempt is recorded at most once per minute for its username and for its
   * address.
   */
  async #recordThrottled<T>(caller: Caller, username: string, attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (!isThrottled(error)) throw error;
      const changes = async (): Promise<Changes> => {
        const where = { username: canBeName(username) ? username : '' };
        return (await this.#database.prisma.user.count({ where })) > 0 ? { user: { to: username } } : {};
      };
      const once = [`name:${username}`, `address:${networkOf(caller.address ?? '')}`];
      // Do not wait: rejecting a request must not wait for the write lock.
      void this.#audit.recordRefusal(caller, { action: 'session.begin', outcome: error.code, changes, once });
      throw error;
    }
  }

  /** Creates a session for an authenticated user. */
  async begin(
    caller: Caller,
    userId: number,
    { passwordHash }: { passwordHash?: string | null } = {},
  ): Promise<NewSession> {
    const token = randomBytes(32).toString('base64url');
    const at = this.#now();
    const expiresAt = new Date(at.getTime() + SESSION_MS);
    const endsAt = new Date(at.getTime() + SESSION_END_MS);
    // Hold the write lock of all replicas: a concurrent change that ends sessions is then either already stored, or
    // ends this session too. A new session invalidates nothing that is cached, so raise no counter and keep the cached
    // responses.
    await this.#database.write([], async (tx) => {
      await tx.session.deleteMany({ where: { userId, expiresAt: { lt: at } } });
      // While the password was verified, it may have been changed, or the user disabled.
      const where = { id: userId, disabled: false, ...(passwordHash === undefined ? {} : { passwordHash }) };
      const user = await tx.user.findFirst({ where, select: { username: true } });
      if (!user) throw wrongCredentials();
      await tx.session.create({ data: { hash: hashToken(token), userId, createdAt: at, expiresAt, endsAt } });
      const viewer: Viewer = { ...userViewer(userId, user.username), roles: [], grants: [] };
      await record(tx, caller.as(viewer), { action: 'session.begin', at, changes: {} });
    });
    return { token, expiresAt };
  }

  /**
   * Returns the user of a session token; undefined if the session has expired or ended, or the user is disabled or
   * deleted.
   */
  async authenticate(token: string, counters: Pick<Counters, 'access' | 'registry'>): Promise<Viewer | undefined> {
    const sessionHash = hashToken(token);
    const session = await this.#find(sessionHash, counters.access);
    if (!session || session.expiresAt <= this.#now()) return undefined;
    const { userId, username: name, roles, expiresAt } = session;
    const grants = await this.#roles.grantsOf(roles, counters);
    return { ...userViewer(userId, name), roles, grants, expiresAt, session: sessionHash };
  }

  /** Extends a session by SESSION_MS, up to its absolute end. Does not write if it gains less than REFRESH_MS. */
  async refresh(token: string): Promise<NewSession | undefined> {
    const sessionHash = hashToken(token);
    const row = await this.#database.prisma.session.findUnique({ where: { hash: sessionHash } });
    const now = this.#now();
    if (!row || row.expiresAt <= now) return undefined;
    const expiresAt = new Date(Math.min(now.getTime() + SESSION_MS, row.endsAt.getTime()));
    if (Math.abs(expiresAt.getTime() - row.expiresAt.getTime()) < REFRESH_MS)
      return { token, expiresAt: row.expiresAt };
    await this.#database.prisma.session.updateMany({ where: { hash: sessionHash }, data: { expiresAt } });
    this.#cache.sessions.delete(sessionHash);
    return { token, expiresAt };
  }

  /** Ends a session at once, on every replica. */
  async signOut(caller: Caller, token: string): Promise<void> {
    const where = { hash: hashToken(token) };
    // An unknown token changes nothing, so keep the cached responses.
    if ((await this.#database.prisma.session.count({ where })) === 0) return;
    await this.#database.write('access', async (tx) => {
      const { count } = await tx.session.deleteMany({ where });
      if (count > 0) await record(tx, caller, { action: 'session.end', at: this.#now(), changes: {} });
    });
  }

  /**
   * Deletes expired sessions, including sessions of users that never signed in again. Shortens sessions that were
   * created under a clock that ran ahead, if two consecutive calls find that they last too long.
   */
  async prune(): Promise<void> {
    const { prisma } = this.#database;
    await prisma.session.deleteMany({ where: { expiresAt: { lt: this.#cautiousClock.now() } } });
    const [now, lastPrune] = [this.#now().getTime(), this.#lastPrune];
    this.#lastPrune = now;
    if (!Number.isFinite(lastPrune)) return;
    // Use the later of both times: a clock that runs behind during one of the two calls shortens no session.
    const latest = Math.max(now, lastPrune);
    const [expiresAt, endsAt] = [new Date(latest + SESSION_MS), new Date(latest + SESSION_END_MS)];
    const later = (time: Date) => ({ gt: new Date(time.getTime() + SKEW_MS) });
    const where = { OR: [{ expiresAt: later(expiresAt) }, { endsAt: later(endsAt) }] };
    if ((await prisma.session.count({ where })) === 0) return;
    await this.#database.write('access', async (tx) => {
      await tx.session.updateMany({ where: { expiresAt: later(expiresAt) }, data: { expiresAt } });
      await tx.session.updateMany({ where: { endsAt: later(endsAt) }, data: { endsAt } });
    });
  }

  async #find(sessionHash: string, access: number): Promise<CachedSession | undefined> {
    if (this.#cache.access < access) this.#cache = { access, sessions: new Map() };
    const isCurrent = this.#cache.access === access;
    const known = isCurrent ? this.#cache.sessions.get(sessionHash) : undefined;
    // The cached expiry may be outdated: another replica may have extended the session.
    if (known && known.expiresAt > this.#now()) return known;
    const row = await this.#database.prisma.session.findUnique({
      where: { hash: sessionHash },
      select: {
        expiresAt: true,
        user: { select: { id: true, username: true, disabled: true, roles: { select: { role: true } } } },
      },
    });
    if (!row || row.user.disabled) return undefined;
    const { id: userId, username, roles } = row.user;
    const session = { userId, username, roles: roles.map(({ role }) => role), expiresAt: row.expiresAt };
    if (this.#cache.access === access && this.#cache.sessions.size < MAX_CACHED)
      this.#cache.sessions.set(sessionHash, session);
    return session;
  }
}

function userViewer(userId: number, name: string) {
  return { kind: 'USER', id: userViewerId(userId), name, userId } as const;
}

function wrongCredentials(): DomainError {
  return new DomainError('CREDENTIALS_WRONG', 'invalid credentials');
}

// A fast hash is sufficient for a token of 256 random bits.
function hashToken(token: string): string {
  return hash('sha256', token, 'base64url');
}
