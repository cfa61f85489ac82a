import { yieldWhenBusy } from '../../event-loop.ts';
import { lazy } from '../../lazy.ts';
import { type Counters, type Database, NO_JSON, type Transaction } from '../../storage/database.ts';
import { ACTIONS, type Action } from '../access/action.ts';
import type { Caller, Grant } from '../access/caller.ts';
import { changeAccess } from '../access/change-access.ts';
import { requireActions, requireCoverage } from '../access/coverage.ts';
import {
  BUILT_IN_ROLES,
  builtInGrant,
  hasActionOnAll,
  requireActionOnAll,
  requireViewer,
} from '../access/permissions.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { record } from '../audit/record.ts';
import { DomainError, formatNames, type InputIssue } from '../errors.ts';
import { parseLabelSelector, stepsOfRequirements, whereLabels } from '../label-selector.ts';
import { canBeName } from '../storable.ts';
import { throwIfInvalid, validate } from '../validation.ts';
import { type ClusterScope, matchesGlob, type RoleInput, roleSchema } from './role.ts';

interface RoleDefinition {
  readonly actions: ReadonlySet<Action>;
  readonly clusters: ClusterScope | undefined;
  /** Whether each cluster name matches a glob of the role, by cluster name. */
  readonly globMatches: Map<string, boolean>;
}

interface CachedRole {
  /** The grant of the role for a value of the `registry` counter. All holders of the role share one object. */
  readonly grantAt: (registry: number) => Grant | Promise<Grant>;
}

/**
 * Manages roles and resolves them to grants. Role definitions are cached until the `access` counter changes. Globs are
 * expanded to the names of registered clusters and cached until the `registry` counter changes, so that database
 * filters contain exact names only.
 */
export class Roles {
  readonly #database: Database;
  readonly #audit: AuditLog;
  readonly #now: () => Date;
  /** The custom roles by name, for one value of the `access` counter. */
  readonly #roles = lazy<ReadonlyMap<string, CachedRole>, number>(() => this.#load());
  /** The names of all clusters, for one value of the `registry` counter. */
  readonly #clusterNames = lazy<ReadonlySet<string>, number>(() => this.#loadNames());

  constructor({ database, audit, now }: { database: Database; audit: AuditLog; now: () => Date }) {
    this.#database = database;
    this.#audit = audit;
    this.#now = now;
  }

  /**
   * The combined grants of these roles. Returns them without a promise if they are cached or all roles are built in. A
   * deleted role grants nothing.
   */
  grantsOf(
    names: readonly string[],
    { access, registry }: Pick<Counters, 'access' | 'registry'>,
  ): Grant[] | Promise<Grant[]> {
    const builtIn = names.map(builtInGrant);
    if (builtIn.every((grant) => grant !== undefined)) return builtIn;
    const grantsIn = (roles: ReadonlyMap<string, CachedRole>) => {
      const grants = names.flatMap((name) => builtInGrant(name) ?? roles.get(name)?.grantAt(registry) ?? []);
      return grants.every(isLoaded) ? grants : Promise.all(grants);
    };
    const roles = this.#roles(access);
    return roles instanceof Promise ? roles.then((loaded) => grantsIn(loaded)) : grantsIn(roles);
  }

  /** Lists the roles, built-in roles first. Returns an empty list if the caller may not manage roles. */
  async list(caller: Caller) {
    if (!hasActionOnAll(requireViewer(caller), 'access.manage')) return [];
    const defined = await this.#database.prisma.role.findMany({ orderBy: { name: 'asc' } });
    const builtIn = BUILT_IN_ROLES.map((name) => ({
      ...{ name, description: 'Built in.', builtIn: true, clusters: null },
      actions: ACTIONS.filter((action) => builtInGrant(name)?.actions.has(action)),
    }));
    const custom = defined.map(({ name, description, actions, clusters }) => ({
      ...{ name, description, builtIn: false },
      actions: actions as Action[],
      clusters: clusters as ClusterScope | null,
    }));
    return [...builtIn, ...custom];
  }

  /** Creates or replaces a custom role. The change applies to its holders from their next request. */
  define(caller: Caller, input: RoleInput): Promise<{ name: string }> {
    return this.#audit.recordIfRefused(caller, 'role.define', () => this.#define(caller, input));
  }

  async #define(caller: Caller, input: RoleInput): Promise<{ name: string }> {
    const manager = requireActionOnAll(caller, 'access.manage');
    const issues: InputIssue[] = [];
    const role = validate(roleSchema, input, issues);
    throwIfInvalid(issues);
    if (!role) throw new Error('a role without issues is valid');
    const { name, description, actions, clusters } = role;
    const data = { description, actions: [...new Set(actions)], clusters: clusters ? { ...clusters } : NO_JSON };
    await changeAccess(this.#database, manager, async (tx) => {
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

  /** Deletes a custom role and removes it from every user and API key that holds it. */
  delete(caller: Caller, name: string): Promise<void> {
    return this.#audit.recordIfRefused(caller, 'role.delete', () => this.#delete(caller, name));
  }

  async #delete(caller: Caller, name: string): Promise<void> {
    const manager = requireActionOnAll(caller, 'access.manage');
    const where = { name: canBeName(name) ? name : '' };
    await changeAccess(this.#database, manager, async (tx) => {
      await requireCoverage(tx, caller, [{ roles: [where.name] }]);
      const { count } = await tx.role.deleteMany({ where });
      if (count === 0) throw new DomainError('NOT_FOUND', 'role not found');
      // Remove every assignment, so that a new role of the same name starts with no holders.
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

  /**
   * Returns the names for which no role exists. Outside a transaction, a role that exists may be deleted right after.
   */
  async findUnknown(
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

  /** Adds an issue to `issues` if some of these roles do not exist. */
  async addUnknownIssue(
    names: readonly string[],
    issues: InputIssue[],
    client?: Pick<Transaction, 'role'>,
  ): Promise<void> {
    // Skip the query if the roles are already invalid, for example because there are too many.
    if (issues.some(({ path }) => path[0] === 'roles')) return;
    const unknown = await this.findUnknown(names, client);
    if (unknown.length > 0) issues.push({ path: ['roles'], message: `no role is named ${formatNames(unknown)}` });
  }

  /**
   * Throws INVALID_INPUT if one of these roles does not exist. Call it in the transaction that assigns the roles: one
   * may have been deleted since the input was validated.
   */
  async requireExisting(tx: Transaction, names: readonly string[]): Promise<void> {
    const issues: InputIssue[] = [];
    await this.addUnknownIssue(names, issues, tx);
    throwIfInvalid(issues);
  }

  async #buildGrant(
    { actions, clusters: scope, globMatches }: RoleDefinition,
    registry: number,
    before: Grant | undefined,
  ): Promise<Grant> {
    if (!scope) return { actions };
    const { names, labelSelector } = scope;
    const globs = names.filter((name) => /[*?]/.test(name));
    // Without globs, the grant does not depend on the registered clusters.
    if (globs.length === 0 && before) return before;
    const exact = names.filter((name) => !/[*?]/.test(name));
    if (globs.length > 0) {
      const registered = await this.#clusterNames(registry);
      for (const name of registered) {
        if (globMatches.has(name)) continue;
        const turn = yieldWhenBusy();
        if (turn) await turn;
        globMatches.set(
          name,
          globs.some((glob) => matchesGlob(name, glob)),
        );
      }
      for (const name of globMatches.keys()) if (!registered.has(name)) globMatches.delete(name);
      for (const name of registered) if (globMatches.get(name)) exact.push(name);
    }
    const requirements = labelSelector ? parseLabelSelector(labelSelector) : [];
    const labels = requirements.length > 0 ? [whereLabels(requirements)] : [];
    const clusters = { OR: [{ name: { in: exact } }, ...labels] };
    return { actions, clusters, steps: 1 + stepsOfRequirements(requirements.length) };
  }

  async #load(): Promise<ReadonlyMap<string, CachedRole>> {
    const rows = await this.#database.prisma.role.findMany();
    return new Map(rows.map(({ name, ...row }) => [name, this.#cached(row)]));
  }

  #cached({ actions, clusters }: { actions: unknown; clusters: unknown }): CachedRole {
    const role = {
      actions: new Set(actions as Action[]),
      clusters: (clusters as ClusterScope | null) ?? undefined,
      globMatches: new Map<string, boolean>(),
    };
    return { grantAt: lazy((registry: number, before) => this.#buildGrant(role, registry, before)) };
  }

  async #loadNames(): Promise<ReadonlySet<string>> {
    const rows = await this.#database.prisma.cluster.findMany({ select: { name: true } });
    return new Set(rows.map(({ name }) => name));
  }
}

function isLoaded(grant: Grant | Promise<Grant>): grant is Grant {
  return !(grant instanceof Promise);
}
