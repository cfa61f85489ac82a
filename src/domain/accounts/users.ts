import { z } from 'zod';
import type { Database, Transaction } from '../../storage/database.ts';
import { uniqueViolation } from '../../storage/database-error.ts';
import type { Caller } from '../access/caller.ts';
import { changeAccess } from '../access/change-access.ts';
import { requireCoverage } from '../access/coverage.ts';
import {
  type AuthorizedCaller,
  allowFirstUser,
  hasActionOnAll,
  requireActionOnAll,
  requireOwnAccount,
  requireViewer,
} from '../access/permissions.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { type Changes, record } from '../audit/record.ts';
import { DomainError, type InputIssue, invalidInput } from '../errors.ts';
import { canBeName } from '../storable.ts';
import { throwIfInvalid, validate } from '../validation.ts';
import { hashPassword, withHashPlace } from './password.ts';
import type { Roles } from './roles.ts';
import type { SignInLimits } from './sign-in-limits.ts';
import { createSchema, MAX_PASSWORD, password, updateSchema } from './user.ts';
import { isUsernameTaken } from './username.ts';

export interface CreateUser {
  readonly username: string;
  readonly password?: string | null | undefined;
  readonly name?: string | null | undefined;
  readonly roles: readonly string[];
}

export interface ChangePassword {
  readonly oldPassword: string;
  readonly newPassword: string;
}

export interface UpdateUser {
  readonly username: string;
  readonly name?: string | null | undefined;
  readonly password?: string | null | undefined;
  readonly disabled?: boolean | null | undefined;
  readonly roles?: readonly string[] | null | undefined;
}

/** A user without credentials. */
export interface User {
  readonly id: number;
  readonly uid: string;
  readonly username: string;
  readonly name: string;
  readonly provider: string;
  readonly disabled: boolean;
  readonly createdAt: Date;
  readonly roles: readonly string[];
}

const SELECT_USER = {
  ...{ id: true, uid: true, username: true, name: true, provider: true, disabled: true, createdAt: true },
  roles: { select: { role: true }, orderBy: { role: 'asc' } },
} as const;

/** Manages users. At least one enabled admin must remain. */
export class Users {
  readonly #database: Database;
  readonly #roles: Roles;
  readonly #limits: SignInLimits;
  readonly #audit: AuditLog;
  readonly #now: () => Date;

  constructor(options: {
    database: Database;
    roles: Roles;
    limits: SignInLimits;
    audit: AuditLog;
    now: () => Date;
  }) {
    const { database, roles, limits, audit, now } = options;
    this.#database = database;
    this.#roles = roles;
    this.#limits = limits;
    this.#audit = audit;
    this.#now = now;
  }

  /** Lists the users, ordered by username. Returns an empty list if the caller may not manage users. */
  async list(caller: Caller): Promise<User[]> {
    if (!hasActionOnAll(requireViewer(caller), 'access.manage')) return [];
    const rows = await this.#database.prisma.user.findMany({ select: SELECT_USER, orderBy: { username: 'asc' } });
    return rows.map(toUser);
  }

  /** The profile of the caller, in the format of Kite's UI. For an API key, `username` is the name of the key. */
  async profile(caller: Caller) {
    const viewer = requireViewer(caller);
    const user =
      viewer.kind === 'USER'
        ? await this.#database.prisma.user.findUnique({ where: { id: viewer.userId ?? -1 } })
        : null;
    return {
      username: viewer.name,
      name: user?.name ?? '',
      provider: user?.provider ?? 'api-key',
      avatar_url: '',
      roles: viewer.roles.map((name) => ({ name })),
    };
  }

  async count(): Promise<number> {
    return this.#database.prisma.user.count();
  }

  create(caller: Caller, input: CreateUser): Promise<User> {
    return this.#audit.recordIfRefused(caller, 'user.create', async () =>
      this.#create(requireActionOnAll(caller, 'access.manage'), input, { onlyFirst: false }),
    );
  }

  /**
   * Creates the first user, an admin. Throws ALREADY_SET_UP if a user exists; of two concurrent calls, one succeeds.
   */
  async createFirst(caller: Caller, input: Omit<CreateUser, 'roles'>): Promise<User> {
    // Check before the expensive password hash. The transaction checks again.
    if ((await this.count()) > 0) throw alreadySetUpError();
    return this.#create(allowFirstUser(caller), { ...input, roles: ['admin'] }, { onlyFirst: true });
  }

  update(caller: Caller, input: UpdateUser): Promise<User> {
    return this.#audit.recordIfRefused(caller, 'user.update', () => this.#update(caller, input));
  }

  async #update(caller: Caller, input: UpdateUser): Promise<User> {
    const manager = requireActionOnAll(caller, 'access.manage');
    const { username, ...rest } = input;
    const issues: InputIssue[] = [];
    const fields = validate(updateSchema, rest, issues);
    await this.#roles.addUnknownIssue(input.roles ?? [], issues);
    throwIfInvalid(issues);
    const passwordHash = fields?.password === undefined ? undefined : await hashPassword(fields.password);
    return changeAccess(this.#database, manager, async (tx) => {
      await this.#roles.requireExisting(tx, fields?.roles ?? []);
      const current = await findUser(tx, username);
      await requireCoverage(tx, caller, [current, { roles: fields?.roles ?? [] }]);
      const changes: Changes = {};
      if (fields?.name !== undefined && fields.name !== current.name)
        changes.name = { from: current.name, to: fields.name };
      if (fields?.disabled !== undefined && fields.disabled !== current.disabled)
        changes.disabled = { from: current.disabled, to: fields.disabled };
      const roles = fields?.roles && unique(fields.roles).sort();
      if (roles && roles.join() !== current.roles.join()) changes.roles = { from: current.roles, to: roles };
      if (passwordHash) changes.password = 'changed';
      await tx.user.update({
        where: { id: current.id },
        data: {
          ...(fields?.name === undefined ? {} : { name: fields.name }),
          ...(fields?.disabled === undefined ? {} : { disabled: fields.disabled }),
          ...(passwordHash ? { passwordHash } : {}),
          ...(fields?.roles
            ? { roles: { deleteMany: {}, create: unique(fields.roles).map((role) => ({ role })) } }
            : {}),
        },
      });
      // Changing the password or the roles, or disabling the user, ends their sessions.
      if (changes.password || changes.roles || changes.disabled)
        await tx.session.deleteMany({ where: { userId: current.id } });
      await requireRemainingAdmin(tx, current);
      await record(tx, caller, {
        action: 'user.update',
        at: this.#now(),
        changes: { user: { to: username }, ...changes },
      });
      return findUser(tx, username);
    });
  }

  delete(caller: Caller, username: string): Promise<void> {
    return this.#audit.recordIfRefused(caller, 'user.delete', () => this.#delete(caller, username));
  }

  async #delete(caller: Caller, username: string): Promise<void> {
    const manager = requireActionOnAll(caller, 'access.manage');
    await changeAccess(this.#database, manager, async (tx) => {
      const current = await findUser(tx, username);
      await requireCoverage(tx, caller, [current]);
      await tx.user.delete({ where: { id: current.id } });
      await requireRemainingAdmin(tx, current);
      const changes = { user: { from: username }, roles: { from: current.roles } };
      await record(tx, caller, { action: 'user.delete', at: this.#now(), changes });
    });
  }

  /**
   * Changes the password of the calling user and ends all of their sessions. Throws FORBIDDEN if the caller is not
   * signed in as a user.
   */
  changePassword(caller: Caller, input: ChangePassword): Promise<void> {
    return this.#audit.recordIfRefused(caller, 'user.change-password', () => this.#changePassword(caller, input));
  }

  async #changePassword(caller: Caller, { oldPassword, newPassword }: ChangePassword): Promise<void> {
    const self = requireOwnAccount(caller);
    const { viewer } = self;
    if (viewer.kind !== 'USER' || viewer.userId === undefined)
      throw new DomainError('FORBIDDEN', 'only a signed-in user can change their own password');
    const id = viewer.userId;
    const issues: InputIssue[] = [];
    validate(z.object({ newPassword: password }), { newPassword }, issues);
    throwIfInvalid(issues);
    // Reserve one place for both hashes. Otherwise an attempt would count as failed although its password could not be
    // checked.
    const { user, passwordHash } = await withHashPlace(async (hashes) => {
      // Throttle guesses at the old password in the same way as sign-ins.
      const attempt = await this.#limits.begin({ username: viewer.name, address: caller.address });
      const user = await this.#database.prisma.user.findUnique({ where: { id }, select: { passwordHash: true } });
      // Bound the work for very long input. A longer password than MAX_PASSWORD cannot match.
      if (!(await hashes.matches(oldPassword.slice(0, MAX_PASSWORD + 1), user?.passwordHash))) {
        await this.#audit.recordRefusal(caller, { action: 'user.change-password', outcome: 'CREDENTIALS_WRONG' });
        throw invalidInput([{ path: ['oldPassword'], message: 'is wrong' }]);
      }
      await this.#limits.succeed(attempt);
      return { user, passwordHash: await hashes.create(newPassword) };
    });
    await changeAccess(this.#database, self, async (tx) => {
      const where = { id, passwordHash: user?.passwordHash ?? null };
      if ((await tx.user.updateMany({ where, data: { passwordHash } })).count === 0)
        throw invalidInput([{ path: ['oldPassword'], message: 'is wrong' }]);
      await tx.session.deleteMany({ where: { userId: id } });
      const changes: Changes = { user: { to: viewer.name }, password: 'changed' };
      await record(tx, caller, { action: 'user.change-password', at: this.#now(), changes });
    });
  }

  async #create(
    caller: AuthorizedCaller<'ALL'>,
    input: CreateUser,
    { onlyFirst }: { onlyFirst: boolean },
  ): Promise<User> {
    const issues: InputIssue[] = [];
    const fields = validate(createSchema, input, issues);
    await this.#roles.addUnknownIssue(input.roles, issues);
    if (onlyFirst && !input.password) issues.push({ path: ['password'], message: 'is required' });
    throwIfInvalid(issues);
    if (!fields) throw new Error('fields without issues are valid');
    const { username, name, roles } = fields;
    const passwordHash = fields.password === undefined ? null : await hashPassword(fields.password);
    try {
      return await changeAccess(this.#database, caller, async (tx) => {
        if (onlyFirst && (await tx.user.count()) > 0) throw alreadySetUpError();
        await this.#roles.requireExisting(tx, roles);
        if (!onlyFirst) await requireCoverage(tx, caller, [{ roles }]);
        if (await isUsernameTaken(tx, username)) throw nameTakenError();
        const at = this.#now();
        const row = await tx.user.create({
          data: {
            username,
            name,
            passwordHash,
            createdAt: at,
            roles: { create: unique(roles).map((role) => ({ role })) },
          },
          select: SELECT_USER,
        });
        await record(tx, caller, {
          action: 'user.create',
          at,
          changes: { user: { to: username }, roles: { to: roles } },
        });
        return toUser(row);
      });
    } catch (error) {
      if (uniqueViolation(error) === 'username') throw nameTakenError();
      throw error;
    }
  }
}

async function findUser(tx: Transaction, username: string): Promise<User> {
  const row = canBeName(username) ? await tx.user.findUnique({ where: { username }, select: SELECT_USER }) : null;
  if (!row) throw new DomainError('NOT_FOUND', 'user not found');
  return toUser(row);
}

/** Throws LAST_ADMIN, which rolls back the transaction, if the changed user was the last enabled admin. */
async function requireRemainingAdmin(tx: Transaction, before: Pick<User, 'disabled' | 'roles'>): Promise<void> {
  if (before.disabled || !before.roles.includes('admin')) return;
  const admins = await tx.user.count({ where: { disabled: false, roles: { some: { role: 'admin' } } } });
  if (admins === 0)
    throw new DomainError('LAST_ADMIN', 'the last enabled admin cannot be disabled, deleted or lose the role');
}

function nameTakenError(): DomainError {
  return new DomainError('NAME_TAKEN', 'user already exists');
}

function alreadySetUpError(): DomainError {
  return new DomainError('ALREADY_SET_UP', 'a user exists already: sign in');
}

function toUser({ roles, ...row }: Omit<User, 'roles'> & { roles: { role: string }[] }): User {
  return { ...row, roles: roles.map(({ role }) => role) };
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
