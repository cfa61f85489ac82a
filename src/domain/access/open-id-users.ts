import type { Database, Transaction } from '../../storage/database.ts';
import { type Changes, record } from '../audit.ts';
import { DomainError } from '../errors.ts';
import type { OpenIdUser } from './open-id-user.ts';
import type { Roles } from './roles.ts';
import { isUsernameTaken } from './username.ts';
import type { Caller } from './viewer.ts';

const shown = {
  ...{ id: true, username: true, name: true, provider: true, disabled: true },
  roles: { select: { role: true }, orderBy: { role: 'asc' } },
} as const;

/** The people that sign in by OpenID Connect: made at their first sign-in, and given their groups' roles at each. */
export class OpenIdUsers {
  readonly #database: Database;
  readonly #roles: Roles;
  readonly #now: () => Date;

  constructor({ database, roles, now }: { database: Database; roles: Roles; now: () => Date }) {
    this.#database = database;
    this.#roles = roles;
    this.#now = now;
  }

  /** The id of a person who may sign in, with the roles they have now; else the refusal, which ends what they had. */
  async admit(caller: Caller, person: OpenIdUser, provider: string): Promise<number> {
    const known = await this.#known(this.#database.prisma, { ...person, provider });
    const row = await find(this.#database.prisma, known.subject);
    if (row?.disabled) throw disabled();
    if (!row && known.roles.length === 0) throw withoutRole();
    // Most sign-ins change nothing, and then no kept answer is lost.
    const { id, refusal } =
      row && isSame(row, known)
        ? { id: row.id, refusal: refusalOf(known) }
        : await this.#database.write('access', (tx) => this.#store(tx, caller, known));
    if (refusal) throw refusal;
    return id;
  }

  /** The person with those of their groups' roles that there are. */
  async #known(client: Pick<Transaction, 'role'>, person: Known): Promise<Known> {
    const unknown = await this.#roles.unknown(person.roles, client);
    return { ...person, roles: person.roles.filter((role) => !unknown.includes(role)) };
  }

  async #store(
    tx: Transaction,
    caller: Caller,
    given: Known,
  ): Promise<{ id: number; refusal?: DomainError | undefined }> {
    // A role may have been deleted since, which ended with whoever held it then.
    const person = await this.#known(tx, given);
    const row = await find(tx, person.subject);
    if (row?.disabled) throw disabled();
    if (row) return this.#update(tx, caller, row, person);
    if (person.roles.length === 0) throw withoutRole();
    return { id: await this.#create(tx, caller, person) };
  }

  async #create(tx: Transaction, caller: Caller, { subject, username, name, provider, roles }: Known): Promise<number> {
    // Whoever comes first must be able to let others in.
    if (!roles.includes('admin') && (await admins(tx)) === 0)
      throw new DomainError('FORBIDDEN', 'nobody administers Kitestring yet: an admin has to sign in first');
    // A name alone proves nothing: whoever has it here may be somebody else.
    if (await isUsernameTaken(tx, username))
      throw new DomainError('NAME_TAKEN', 'your user name belongs to somebody else here: ask an admin');
    const at = this.#now();
    const { id } = await tx.user.create({
      data: { subject, username, name, provider, createdAt: at, roles: { create: roles.map((role) => ({ role })) } },
      select: { id: true },
    });
    const changes = { user: { to: username }, provider: { to: provider }, roles: { to: roles } };
    await record(tx, caller, { action: 'user.create', at, changes });
    return id;
  }

  async #update(tx: Transaction, caller: Caller, row: Row, { name, provider, roles }: Known) {
    const { id } = row;
    const held = row.roles.map(({ role }) => role);
    const isLastAdmin = held.includes('admin') && !roles.includes('admin') && (await admins(tx)) === 1;
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
    // What began with other groups ends, also where the role itself must stay.
    if (changes.roles || isLastAdmin) await tx.session.deleteMany({ where: { userId: id } });
    // Their keys would keep what the role gives for as long as it stays.
    if (isLastAdmin) await tx.apiKey.updateMany({ where: { ownerId: id }, data: { disabled: true } });
    await record(tx, caller, {
      action: 'user.update',
      at: this.#now(),
      changes: { user: { to: row.username }, ...changes },
    });
    return { id, refusal: isLastAdmin ? lastAdmin() : refusalOf({ roles }) };
  }
}

type Known = OpenIdUser & { readonly provider: string };
type Row = NonNullable<Awaited<ReturnType<typeof find>>>;

function find(tx: Pick<Transaction, 'user'>, subject: string) {
  return tx.user.findUnique({ where: { subject }, select: shown });
}

function admins(tx: Transaction): Promise<number> {
  return tx.user.count({ where: { disabled: false, roles: { some: { role: 'admin' } } } });
}

function isSame(row: Row, { name, provider, roles }: Known): boolean {
  const held = row.roles.map(({ role }) => role);
  return row.name === name && row.provider === provider && String(held) === String(roles);
}

function disabled(): DomainError {
  return new DomainError('FORBIDDEN', 'this account is disabled');
}

function refusalOf({ roles }: Pick<Known, 'roles'>): DomainError | undefined {
  return roles.length === 0 ? withoutRole() : undefined;
}

function withoutRole(): DomainError {
  return new DomainError('FORBIDDEN', 'none of your groups may use Kitestring: ask whoever runs it');
}

function lastAdmin(): DomainError {
  return new DomainError(
    'LAST_ADMIN',
    'your groups no longer make you an admin, and you are the last one: somebody else has to become admin first',
  );
}
