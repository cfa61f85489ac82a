import { type Counters, type Database, NO_JSON, type Transaction } from '../../storage/database.ts';
import { Pace } from '../../storage/pace.ts';
import { record } from '../audit.ts';
import { throwIfInvalid, validate } from '../clusters/cluster.ts';
import { stepsOfRequirements } from '../clusters/filter-steps.ts';
import { parseLabelSelector, whereLabels } from '../clusters/label-selector.ts';
import { DomainError, type InputIssue, listed } from '../errors.ts';
import { canBeName } from '../storable.ts';
import { changeAccess } from './change-access.ts';
import { requireActions, requireCoverage } from './coverage.ts';
import {
  ACTIONS,
  type Action,
  BUILT_IN_ROLES,
  builtInGrant,
  hasActionOnAll,
  requireActionOnAll,
  requireViewer,
} from './permissions.ts';
import { type ClusterScope, matchesGlob, type RoleInput, roleSchema } from './role.ts';
import type { Caller, Grant } from './viewer.ts';

interface KnownRole {
  readonly actions: ReadonlySet<Action>;
  readonly clusters: ClusterScope | undefined;
  /** Whether each name that was met fits a glob of the role. */
  readonly fits: Map<string, boolean>;
  /** What it gave last, by the value of the registry's counter. */
  granted?: { readonly registry: number; readonly grant: Promise<Grant>; readonly now?: Grant };
}

/**
 * Roles and what they give. Definitions are kept by the `access` counter; globs are matched with the names that stand,
 * by the `registry` counter, so that a filter of the database holds exact names.
 */
export class Roles {
  readonly #database: Database;
  readonly #now: () => Date;
  readonly #pace = new Pace();
  #known:
    | { access: number; roles: Promise<ReadonlyMap<string, KnownRole>>; loaded?: ReadonlyMap<string, KnownRole> }
    | undefined;
  #names: { registry: number; names: Promise<ReadonlySet<string>> } | undefined;

  constructor({ database, now }: { database: Database; now: () => Date }) {
    this.#database = database;
    this.#now = now;
  }

  /** What these roles give together; at once where all are built in. A role that is gone gives nothing. */
  grantsOf(names: readonly string[], counters: Pick<Counters, 'access' | 'registry'>): Grant[] | Promise<Grant[]> {
    const builtIn = names.map(builtInGrant);
    if (builtIn.every((grant) => grant !== undefined)) return builtIn;
    return this.#grantedNow(names, counters) ?? this.#defined(names, counters);
  }

  /** The roles, the built-in ones first; none for whoever may not manage them. */
  async list(caller: Caller) {
    if (!hasActionOnAll(requireViewer(caller), 'access.manage')) return [];
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
    requireActionOnAll(caller, 'access.manage');
    const issues: InputIssue[] = [];
    const role = validate(roleSchema, input, issues);
    throwIfInvalid(issues);
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
    requireActionOnAll(caller, 'access.manage');
    const where = { name: canBeName(name) ? name : '' };
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
    const candidates = [...new Set(names)].filter((name) => !BUILT_IN_ROLES.includes(name));
    if (candidates.length === 0) return [];
    const found = await client.role.findMany({
      where: { name: { in: candidates.filter(canBeName) } },
      select: { name: true },
    });
    const known = new Set(found.map(({ name }) => name));
    return candidates.filter((name) => !known.has(name));
  }

  /** Adds an issue of input that names roles which nobody has defined. */
  async check(names: readonly string[], issues: InputIssue[], client?: Pick<Transaction, 'role'>): Promise<void> {
    // What is refused already, such as too many, is not looked up.
    if (issues.some(({ path }) => path[0] === 'roles')) return;
    const unknown = await this.unknown(names, client);
    if (unknown.length > 0) issues.push({ path: ['roles'], message: `no role is named ${listed(unknown)}` });
  }

  /** Lets no role be given that was deleted since the input was checked; for the transaction that gives it. */
  async refuseUnknown(tx: Transaction, names: readonly string[]): Promise<void> {
    const issues: InputIssue[] = [];
    await this.check(names, issues, tx);
    throwIfInvalid(issues);
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
    const known = this.#known;
    const roles = await known.roles;
    known.loaded = roles;
    const grants = names.flatMap((name) => {
      const role = roles.get(name);
      return builtInGrant(name) ?? (role ? this.#grantOf(role, registry) : []);
    });
    return Promise.all(grants);
  }

  /** What these roles give, where all of it was asked for under these counters before: no cached answer waits for more. */
  #grantedNow(names: readonly string[], { access, registry }: Pick<Counters, 'access' | 'registry'>) {
    if (this.#known?.access !== access) return undefined;
    const { loaded } = this.#known;
    const grants: Grant[] = [];
    for (const name of names) {
      const { granted } = loaded?.get(name) ?? {};
      const grant = builtInGrant(name) ?? (granted?.registry === registry ? granted.now : undefined);
      if (!grant) return undefined;
      grants.push(grant);
    }
    return grants;
  }

  /** What a role gives under this value of the counter: one object for all who hold it. */
  #grantOf(role: KnownRole, registry: number): Promise<Grant> {
    if (role.granted?.registry === registry) return role.granted.grant;
    const before = role.granted?.now;
    const grant = this.#makeGrant(role, registry, before);
    role.granted = { registry, grant };
    grant.then(
      (now) => {
        if (role.granted?.grant === grant) role.granted = { registry, grant, now };
      },
      // A read that fails is forgotten, so that the next request tries again.
      () => {
        if (role.granted?.grant === grant) delete role.granted;
      },
    );
    return grant;
  }

  async #makeGrant(role: KnownRole, registry: number, before: Grant | undefined): Promise<Grant> {
    const { actions, clusters: scope, fits } = role;
    if (!scope) return { actions };
    const { names, labelSelector } = scope;
    const globs = names.filter((name) => /[*?]/.test(name));
    // Without a glob nothing that is registered changes it.
    if (globs.length === 0 && before) return before;
    const exact = names.filter((name) => !/[*?]/.test(name));
    if (globs.length > 0) {
      const standing = await this.#standing(registry);
      for (const name of standing) {
        if (fits.has(name)) continue;
        for (let wait = this.#pace.wait(); wait; wait = this.#pace.wait()) await wait;
        this.#pace.run(() =>
          fits.set(
            name,
            globs.some((glob) => matchesGlob(name, glob)),
          ),
        );
      }
      for (const name of fits.keys()) if (!standing.has(name)) fits.delete(name);
      for (const name of standing) if (fits.get(name)) exact.push(name);
    }
    const requirements = labelSelector ? parseLabelSelector(labelSelector) : [];
    const labels = requirements.length > 0 ? [whereLabels(requirements)] : [];
    const clusters = { OR: [{ name: { in: exact } }, ...labels] };
    return { actions, clusters, steps: 1 + stepsOfRequirements(requirements.length) };
  }

  #standing(registry: number): Promise<ReadonlySet<string>> {
    if (this.#names?.registry !== registry)
      this.#names = {
        registry,
        names: forgetting(this.#loadNames(), (names) => {
          if (this.#names?.names === names) this.#names = undefined;
        }),
      };
    return this.#names.names;
  }

  async #load(): Promise<ReadonlyMap<string, KnownRole>> {
    const rows = await this.#database.prisma.role.findMany();
    return new Map(
      rows.map(({ name, actions, clusters }) => [
        name,
        {
          actions: new Set(actions as Action[]),
          clusters: (clusters as ClusterScope | null) ?? undefined,
          fits: new Map(),
        },
      ]),
    );
  }

  async #loadNames(): Promise<ReadonlySet<string>> {
    const rows = await this.#database.prisma.cluster.findMany({ select: { name: true } });
    return new Set(rows.map(({ name }) => name));
  }
}

/** A read that fails is forgotten, so that the next request tries again. */
function forgetting<T>(read: Promise<T>, forget: (read: Promise<T>) => void): Promise<T> {
  read.catch(() => forget(read));
  return read;
}
