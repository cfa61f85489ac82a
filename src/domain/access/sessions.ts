import { hash, randomBytes } from 'node:crypto';
import type { Counters, Database, Transaction } from '../../storage/database.ts';
import { type Changes, record } from '../audit.ts';
import type { AuditLog } from '../audit-log.ts';
import { CautiousClock } from '../cautious-clock.ts';
import { DomainError } from '../errors.ts';
import { canBeName } from '../storable.ts';
import { networkOf } from './network.ts';
import { withHashPlace } from './password.ts';
import type { Roles } from './roles.ts';
import type { SignInLimits } from './sign-in-limits.ts';
import { isThrottled } from './throttle.ts';
import type { Caller, Viewer } from './viewer.ts';

/** A session lasts so long without a refresh, and at most so long in all. */
const SESSION_MS = 24 * 60 * 60 * 1000;
const SESSION_END_MS = 30 * 24 * 60 * 60 * 1000;
const MAX_KNOWN = 10_000;
/** One who refreshes a session all the time costs one write in so long. */
const REFRESH_MS = 60_000;
/** How much longer than its rule allows a session may seem to last before a clock that ran ahead is at fault: replicas' clocks differ. */
const SKEW_MS = 60 * 60_000;

/** What signs a browser in: the token for its cookie, and when that ends. */
export interface NewSession {
  readonly token: string;
  readonly expiresAt: Date;
}

interface KnownSession {
  readonly userId: number;
  readonly username: string;
  readonly roles: readonly string[];
  readonly expiresAt: Date;
}

/** Sessions of people. Those that are seen are kept by the `access` counter; whatever ends one raises it. */
export class Sessions {
  readonly #database: Database;
  readonly #roles: Roles;
  readonly #limits: SignInLimits;
  readonly #audit: AuditLog;
  readonly #now: () => Date;
  readonly #cautious: CautiousClock;
  /** The time of the previous look for sessions that last too long, in ms since 1970; no session is cut at the first look. */
  #lastLook = Number.POSITIVE_INFINITY;
  #known: { access: number; sessions: Map<string, KnownSession> } = { access: -1, sessions: new Map() };

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
    this.#cautious = new CautiousClock(options.now);
  }

  /** Signs a person in by password. Wrong name and wrong password take as long and answer alike: CREDENTIALS_WRONG. */
  async signIn(caller: Caller, { username, password }: { username: string; password: string }): Promise<NewSession> {
    const where = { username: canBeName(username) ? username : '' };
    const check = () =>
      // The place of the hash first: an attempt that cannot be checked must not count as a failed one.
      withHashPlace(async (hashes) => {
        const attempt = await this.#limits.begin({ username, address: caller.address });
        const user = await this.#database.prisma.user.findUnique({ where });
        return { attempt, user, matches: await hashes.matches(password, user?.passwordHash) };
      });
    const { attempt, user, matches } = await this.#recordThrottled(caller, username, check);
    if (!user || !matches || user.disabled) {
      // A name that nobody has may be a password typed in the wrong place.
      const changes = user ? { user: { to: username } } : {};
      await this.#audit.refused(caller, { action: 'session.begin', outcome: 'CREDENTIALS_WRONG', changes });
      throw credentialsWrong();
    }
    await this.#limits.succeed(attempt);
    return this.begin(caller, user.id, { passwordHash: user.passwordHash });
  }

  /** Runs an attempt. A throttled attempt leaves a record: one per minute for its name and for its address. */
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
      // Not waited for: a refusal takes no turn of the writers.
      void this.#audit.refused(caller, { action: 'session.begin', outcome: error.code, changes, once });
      throw error;
    }
  }

  /** Begins a session of a person who has shown who they are. */
  async begin(
    caller: Caller,
    userId: number,
    { passwordHash }: { passwordHash?: string | null } = {},
  ): Promise<NewSession> {
    const token = randomBytes(32).toString('base64url');
    const at = this.#now();
    const expiresAt = new Date(at.getTime() + SESSION_MS);
    const endsAt = new Date(at.getTime() + SESSION_END_MS);
    // Alone with the writers, on every replica: what ends sessions is stored already, or ends this one too. A session that
    // begins changes nothing that was known: no counter, so that no kept answer is lost.
    await this.#database.write([], async (tx) => {
      await tx.session.deleteMany({ where: { userId, expiresAt: { lt: at } } });
      // The password may have been changed, or the person disabled, while it was compared.
      const where = { id: userId, disabled: false, ...(passwordHash === undefined ? {} : { passwordHash }) };
      const user = await tx.user.findFirst({ where, select: { username: true } });
      if (!user) throw credentialsWrong();
      await tx.session.create({ data: { hash: hashToken(token), userId, createdAt: at, expiresAt, endsAt } });
      const viewer: Viewer = { ...viewerOf(userId, user.username), roles: [], grants: [] };
      await record(tx, { ...caller, viewer }, { action: 'session.begin', at, changes: {} });
    });
    return { token, expiresAt };
  }

  /** The viewer whose session this is; undefined when it has ended, or when its person is disabled or gone. */
  async authenticate(token: string, counters: Pick<Counters, 'access' | 'registry'>): Promise<Viewer | undefined> {
    const sessionHash = hashToken(token);
    const session = await this.#find(sessionHash, counters.access);
    if (!session || session.expiresAt <= this.#now()) return undefined;
    const { userId, username: name, roles, expiresAt } = session;
    const grants = await this.#roles.grantsOf(roles, counters);
    return { ...viewerOf(userId, name), roles, grants, expiresAt, session: sessionHash };
  }

  /** Lengthens a session, within its absolute end. What would gain less than a minute is not stored. */
  async refresh(token: string): Promise<NewSession | undefined> {
    const sessionHash = hashToken(token);
    const row = await this.#database.prisma.session.findUnique({ where: { hash: sessionHash } });
    const now = this.#now();
    if (!row || row.expiresAt <= now) return undefined;
    const expiresAt = new Date(Math.min(now.getTime() + SESSION_MS, row.endsAt.getTime()));
    if (Math.abs(expiresAt.getTime() - row.expiresAt.getTime()) < REFRESH_MS)
      return { token, expiresAt: row.expiresAt };
    await this.#database.prisma.session.updateMany({ where: { hash: sessionHash }, data: { expiresAt } });
    this.#known.sessions.delete(sessionHash);
    return { token, expiresAt };
  }

  /** Ends a session at once, on every replica. */
  async signOut(caller: Caller, token: string): Promise<void> {
    const where = { hash: hashToken(token) };
    // A token of no session changes nothing: no kept answer is lost for it.
    if ((await this.#database.prisma.session.count({ where })) === 0) return;
    await this.#database.write('access', async (tx) => {
      const { count } = await tx.session.deleteMany({ where });
      if (count > 0) await record(tx, caller, { action: 'session.end', at: this.#now(), changes: {} });
    });
  }

  /** Deletes sessions that are over, of users who have not signed in since, and cuts those that began under a clock that ran ahead, at the second look. */
  async prune(): Promise<void> {
    const { prisma } = this.#database;
    await prisma.session.deleteMany({ where: { expiresAt: { lt: this.#cautious.look() } } });
    const [now, lastLook] = [this.#now().getTime(), this.#lastLook];
    this.#lastLook = now;
    if (!Number.isFinite(lastLook)) return;
    // Too late at both looks: a clock that is behind at one of them alone cuts no session.
    const latest = Math.max(now, lastLook);
    const [expiresAt, endsAt] = [new Date(latest + SESSION_MS), new Date(latest + SESSION_END_MS)];
    const later = (time: Date) => ({ gt: new Date(time.getTime() + SKEW_MS) });
    const where = { OR: [{ expiresAt: later(expiresAt) }, { endsAt: later(endsAt) }] };
    if ((await prisma.session.count({ where })) === 0) return;
    await this.#database.write('access', async (tx) => {
      await tx.session.updateMany({ where: { expiresAt: later(expiresAt) }, data: { expiresAt } });
      await tx.session.updateMany({ where: { endsAt: later(endsAt) }, data: { endsAt } });
    });
  }

  async #find(sessionHash: string, access: number): Promise<KnownSession | undefined> {
    if (this.#known.access < access) this.#known = { access, sessions: new Map() };
    const isCurrent = this.#known.access === access;
    const known = isCurrent ? this.#known.sessions.get(sessionHash) : undefined;
    // Another replica may have lengthened it since.
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
    if (this.#known.access === access && this.#known.sessions.size < MAX_KNOWN)
      this.#known.sessions.set(sessionHash, session);
    return session;
  }
}

/** The roles of whoever has a session as a transaction sees them; undefined where it has ended, or they are disabled. */
export async function rolesOfSession(tx: Transaction, { session = '' }: Viewer): Promise<string[] | undefined> {
  const row = await tx.session.findUnique({
    where: { hash: session },
    select: { user: { select: { disabled: true, roles: { select: { role: true } } } } },
  });
  return row && !row.user.disabled ? row.user.roles.map(({ role }) => role) : undefined;
}

function viewerOf(userId: number, name: string) {
  return { kind: 'USER', id: `user:${userId}`, name, userId } as const;
}

function credentialsWrong(): DomainError {
  return new DomainError('CREDENTIALS_WRONG', 'invalid credentials');
}

// Tokens are 256 random bits, so a quick hash is as good as a slow one.
function hashToken(token: string): string {
  return hash('sha256', token, 'base64url');
}
