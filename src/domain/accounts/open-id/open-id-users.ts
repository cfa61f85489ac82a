import type { Database, Transaction } from '../../../storage/database.ts';
import type { Caller } from '../../access/caller.ts';
import { type Changes, record } from '../../audit/record.ts';
import { DomainError } from '../../errors.ts';
import type { Roles } from '../roles.ts';
import { isUsernameTaken } from '../username.ts';
import type { OpenIdUser } from './open-id-user.ts';

const SELECT_USER = {
  ...{ id: true, username: true, name: true, provider: true, disabled: true },
  roles: { select: { role: true }, orderBy: { role: 'asc' } },
} as const;

/**
 * Manages OpenID Connect users. The first sign-in creates a user; every sign-in sets the roles of the user to those
 * granted by their groups.
 */
export class OpenIdUsers {
  readonly #database: Database;
  readonly #roles: Roles;
  readonly #now: () => Date;

  constructor({ database, roles, now }: { database: Database; roles: Roles; now: () => Date }) {
    this.#database = database;
    this.#roles = roles;
    this.#now = now;
  }

  /**
   * Creates or updates a user at sign-in and returns their id. Throws if the user may not sign in. If the user has just
   * lost their last role, this also ends their sessions.
   */
  async admit(caller: Caller, user: OpenIdUser, provider: string): Promise<number> {
    const known = await this.#withExistingRoles(this.#database.prisma, { ...user, provider });
    const row = await find(this.#database.prisma, known.subject);
    if (row?.disabled) throw disabledError();
    if (!row && known.roles.length === 0) throw noRoleError();
    // Most sign-ins change nothing. Skip the write then, to keep the cached responses.
    const { id, error } =
      row && isUnchanged(row, known)
        ? { id: row.id, error: roleErrorOf(known) }
        : await this.#database.write('access', (tx) => this.#store(tx, caller, known));
    if (error) throw error;
    return id;
  }

  /** Drops the roles that do not exist. */
  async #withExistingRoles(client: Pick<Transaction, 'role'>, user: ProviderUser): Promise<ProviderUser> {
    const unknown = await this.#roles.findUnknown(user.roles, client);
    return { ...user, roles: user.roles.filter((role) => !unknown.includes(role)) };
  }

  async #store(
    tx: Transaction,
    caller: Caller,
    described: ProviderUser,
  ): Promise<{ id: number; error?: DomainError | undefined }> {
    // Check again: a role may have been deleted since the first check.
    const user = await this.#withExistingRoles(tx, described);
    const row = await find(tx, user.subject);
    if (row?.disabled) throw disabledError();
    if (row) return this.#update(tx, caller, row, user);
    if (user.roles.length === 0) throw noRoleError();
    return { id: await this.#create(tx, caller, user) };
  }

  async #create(
    tx: Transaction,
    caller: Caller,
    { subject, username, name, provider, roles }: ProviderUser,
  ): Promise<number> {
    // Do not create the first user without the admin role: no user could then administer Kitestring.
    if (!roles.includes('admin') && (await countAdmins(tx)) === 0)
      throw new DomainError('FORBIDDEN', 'Kitestring has no admin yet: an admin must sign in first');
    // An equal username does not prove identity: the existing user may be someone else.
    if (await isUsernameTaken(tx, username))
      throw new DomainError('NAME_TAKEN', 'another user already has your username: ask an admin');
    const at = this.#now();
    const { id } = await tx.user.create({
      data: { subject, username, name, provider, createdAt: at, roles: { create: roles.map((role) => ({ role })) } },
      select: { id: true },
    });
    const changes = { user: { to: username }, provider: { to: provider }, roles: { to: roles } };
    await record(tx, caller, { action: 'user.create', at, changes });
    return id;
  }

  async #update(tx: Transaction, caller: Caller, row: Row, { name, provider, roles }: ProviderUser) {
    const { id } = row;
    const held = row.roles.map(({ role }) => role);
    const isLastAdmin = held.includes('admin') && !roles.includes('admin') && (await countAdmins(tx)) === 1;
    const changes: Changes = {};
    if (row.name !== name) changes.name = { from: row.name, to: name };
    if (row.provider !== provider) changes.provider = { from: row.provider, to: provider };
    if (!isLastAdmin && String(held) !== String(roles)) changes.roles = { from: held, to: roles };
    await tx.user.update({
      where: { id },
      data: {
        name,
        provider,
        ...(changes.roles ? { roles: { deleteMany: {}, create: roles.map((role) => ({ role })) } } : {}),
      },
    });
    // End the sessions that have the old roles, even if the last admin keeps the admin role.
    if (changes.roles || isLastAdmin) await tx.session.deleteMany({ where: { userId: id } });
    // The admin role of the last admin stays, so disable their API keys explicitly.
    if (isLastAdmin) await tx.apiKey.updateMany({ where: { ownerId: id }, data: { disabled: true } });
    await record(tx, caller, {
      action: 'user.update',
      at: this.#now(),
      changes: { user: { to: row.username }, ...changes },
    });
    return { id, error: isLastAdmin ? lastAdminError() : roleErrorOf({ roles }) };
  }
}

type ProviderUser = OpenIdUser & { readonly provider: string };
type Row = NonNullable<Awaited<ReturnType<typeof find>>>;

function find(tx: Pick<Transaction, 'user'>, subject: string) {
  return tx.user.findUnique({ where: { subject }, select: SELECT_USER });
}

function countAdmins(tx: Transaction): Promise<number> {
  return tx.user.count({ where: { disabled: false, roles: { some: { role: 'admin' } } } });
}

function isUnchanged(row: Row, { name, provider, roles }: ProviderUser): boolean {
  const held = row.roles.map(({ role }) => role);
  return row.name === name && row.provider === provider && String(held) === String(roles);
}

function disabledError(): DomainError {
  return new DomainError('FORBIDDEN', 'this account is disabled');
}

function roleErrorOf({ roles }: Pick<ProviderUser, 'roles'>): DomainError | undefined {
  return roles.length === 0 ? noRoleError() : undefined;
}

function noRoleError(): DomainError {
  return new DomainError('FORBIDDEN', 'none of your groups may use Kitestring: ask an admin');
}

function lastAdminError(): DomainError {
  return new DomainError(
    'LAST_ADMIN',
    'your groups no longer make you an admin, but you are the last admin: another user must become an admin first',
  );
}
