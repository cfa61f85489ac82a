import { type Counters, type Database, NO_JSON, type Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { record } from '../audit.ts';
import { check, refuse } from '../clusters/cluster.ts';
import { parseLabelSelector, whereLabels } from '../clusters/label-selector.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { isStorable } from '../storable.ts';
import { changeAccess } from './change-access.ts';
import { requireActions, requireCoverage } from './coverage.ts';
import {
  ACTIONS,
  type Action,
  authorizeEverywhere,
  BUILT_IN_ROLES,
  builtInGrant,
  mayEverywhere,
  signedIn,
} from './permissions.ts';
import { type ClusterScope, matchesGlob, type RoleInput, roleSchema } from './role.ts';
import type { Caller, Grant } from './viewer.ts';

interface KnownRole {
  readonly actions: ReadonlySet<Action>;
  readonly clusters: ClusterScope | undefined;
}

/**
 * Roles and what they give. Definitions are kept by the `access` counter; globs are matched with the names that stand,
 * by the `registry` counter, so that a filter of the database holds exact names.
 */
export class Roles {
  readonly #database: Database;
  readonly #now: () => Date;
  #known: { access: number; roles: Promise<ReadonlyMap<string, KnownRole>> } | undefined;
  #names: { registry: number; names: Promise<readonly string[]> } | undefined;

  constructor({ database, now }: { database: Database; now: () => Date }) {
    this.#database = database;
    this.#now = now;
  }

  /** What these roles give together; at once where all are built in. A role that is gone gives nothing. */
  grantsOf(names: readonly string[], counters: Pick<Counters, 'access' | 'registry'>): Grant[] | Promise<Grant[]> {
    const builtIn = names.map(builtInGrant);
    if (builtIn.every((grant) => grant !== undefined)) return builtIn;
    return this.#defined(names, counters);
  }

  /** The roles, the built-in ones first; none for whoever may not manage them. */
  async list(caller: Caller) {
    if (!mayEverywhere(signedIn(caller), 'access.manage')) return [];
    const defined = await this.#database.prisma.role.findMany({ orderBy: { name: 'asc' } });
    const builtIn = BUILT_IN_ROLES.map((name) => ({
      ...{ name, description: 'Built in.', builtIn: true, clusters: null },
      actions: ACTIONS.filter((action) => builtInGrant(name)?.actions.has(action)),
    }));
    const own = defined.map(({ name, description, actions, clusters }) => ({
      ...{ name, description, builtIn: false },
      actions: actions as Action[],
      clusters: clusters as ClusterScope | null,
    }));
    return [...builtIn, ...own];
  }

  /** Defines a role, or defines it anew; who holds it has it from the next request on. */
  async define(caller: Caller, input: RoleInput): Promise<{ name: string }> {
    authorizeEverywhere(caller, 'access.manage');
    const issues: InputIssue[] = [];
    const role = check(roleSchema, input, issues);
    refuse(issues);
    if (!role) throw new Error('a role without issues is valid');
    const { name, description, actions, clusters } = role;
    const data = { description, actions: [...new Set(actions)], clusters: clusters ? { ...clusters } : NO_JSON };
    await changeAccess(this.#database, caller, async (tx) => {
      const at = this.#now();
      requireActions(caller, actions);
      await requireCoverage(tx, caller, [{ roles: [name] }]);
      const before = await tx.role.findUnique({ where: { name } });
      await tx.role.upsert({ where: { name }, create: { name, ...data, createdAt: at }, update: data });
      const from = before && { actions: before.actions, clusters: before.clusters };
      const to = { actions, clusters };
      await record(tx, caller, { action: 'role.define', at, changes: { role: { to: name }, grant: { from, to } } });
    });
    return { name };
  }

  /** Deletes a role; whoever held it holds it no more. */
  async delete(caller: Caller, name: string): Promise<void> {
    authorizeEverywhere(caller, 'access.manage');
    const where = { name: isStorable(name) ? name : '' };
    await changeAccess(this.#database, caller, async (tx) => {
      await requireCoverage(tx, caller, [{ roles: [where.name] }]);
      const { count } = await tx.role.deleteMany({ where });
      if (count === 0) throw new DomainError('NOT_FOUND', 'role not found');
      // A later role of the same name is nobody's until it is given.
      await tx.session.deleteMany({ where: { user: { roles: { some: { role: name } } } } });
      await tx.userRole.deleteMany({ where: { role: name } });
      for (const { id, roles } of await tx.apiKey.findMany({ select: { id: true, roles: true } })) {
        const held = Array.isArray(roles) ? roles.map(String) : [];
        const left = held.filter((role) => role !== name);
        if (left.length < held.length) await tx.apiKey.update({ where: { id }, data: { roles: left } });
      }
      await record(tx, caller, { action: 'role.delete', at: this.#now(), changes: { role: { from: name } } });
    });
  }

  /** The names among these that no role has; outside of a change of access, one that has may be deleted the next moment. */
  async unknown(
    names: readonly string[],
    client: Pick<Transaction, 'role'> = this.#database.prisma,
  ): Promise<string[]> {
    const candidates = names.filter((name) => !BUILT_IN_ROLES.includes(name));
    if (candidates.length === 0) return [];
    const found = await client.role.findMany({
      where: { name: { in: candidates.filter(isStorable) } },
      select: { name: true },
    });
    return candidates.filter((name) => !found.some((role) => role.name === name));
  }

  /** Adds an issue of input that names roles which nobody has defined. */
  async check(names: readonly string[], issues: InputIssue[], client?: Pick<Transaction, 'role'>): Promise<void> {
    const unknown = await this.unknown(names, client);
    if (unknown.length > 0) issues.push({ path: ['roles'], message: `no role is named ${unknown.join(', ')}` });
  }

  /** Lets no role be given that was deleted since the input was checked; for the transaction that gives it. */
  async refuseUnknown(tx: Transaction, names: readonly string[]): Promise<void> {
    const issues: InputIssue[] = [];
    await this.check(names, issues, tx);
    refuse(issues);
  }

  async #defined(
    names: readonly string[],
    { access, registry }: Pick<Counters, 'access' | 'registry'>,
  ): Promise<Grant[]> {
    if (this.#known?.access !== access)
      this.#known = {
        access,
        roles: forgetting(this.#load(), (roles) => {
          if (this.#known?.roles === roles) this.#known = undefined;
        }),
      };
    const roles = await this.#known.roles;
    const grants: Grant[] = [];
    for (const name of names) {
      const builtIn = builtInGrant(name);
      const role = roles.get(name);
      if (builtIn) grants.push(builtIn);
      else if (role)
        grants.push({ actions: role.actions, clusters: role.clusters && (await this.#where(role.clusters, registry)) });
    }
    return grants;
  }

  async #where({ names, labelSelector }: ClusterScope, registry: number): Promise<Prisma.ClusterWhereInput> {
    const globs = names.filter((name) => /[*?]/.test(name));
    const exact = names.filter((name) => !/[*?]/.test(name));
    if (globs.length > 0) {
      if (this.#names?.registry !== registry)
        this.#names = {
          registry,
          names: forgetting(this.#loadNames(), (names) => {
            if (this.#names?.names === names) this.#names = undefined;
          }),
        };
      const standing = await this.#names.names;
      exact.push(...standing.filter((name) => globs.some((glob) => matchesGlob(name, glob))));
    }
    const labels = labelSelector ? [whereLabels(parseLabelSelector(labelSelector))] : [];
    return { OR: [{ name: { in: exact } }, ...labels] };
  }

  async #load(): Promise<ReadonlyMap<string, KnownRole>> {
    const rows = await this.#database.prisma.role.findMany();
    return new Map(
      rows.map(({ name, actions, clusters }) => [
        name,
        { actions: new Set(actions as Action[]), clusters: (clusters as ClusterScope | null) ?? undefined },
      ]),
    );
  }

  async #loadNames(): Promise<readonly string[]> {
    return (await this.#database.prisma.cluster.findMany({ select: { name: true } })).map(({ name }) => name);
  }
}

/** A read that fails is forgotten, so that the next request tries again. */
function forgetting<T>(read: Promise<T>, forget: (read: Promise<T>) => void): Promise<T> {
  read.catch(() => forget(read));
  return read;
}
