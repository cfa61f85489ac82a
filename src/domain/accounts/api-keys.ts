import type { Database } from '../../storage/database.ts';
import { ACTIONS, type Action } from '../access/action.ts';
import type { Caller, Viewer } from '../access/caller.ts';
import { changeAccess } from '../access/change-access.ts';
import { type Entitlement, refuseToOutlive, requireCoverage } from '../access/coverage.ts';
import { type CachedApiKey, toStrings } from '../access/current-roles.ts';
import {
  type AuthorizedCaller,
  hasActionOnAll,
  requireActionOnAll,
  requireOwnAccount,
  requireViewer,
} from '../access/permissions.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { record } from '../audit/record.ts';
import { DomainError, formatNames, type InputIssue, invalidInput } from '../errors.ts';
import { isStorable, MAX_NAME } from '../storable.ts';
import { throwIfInvalid } from '../validation.ts';
import { createSecret } from './api-key.ts';
import { ApiKeyCache, apiKeyViewer } from './api-key-cache.ts';
import { type CreatedApiKey, insertApiKey, type NewApiKey, toApiKey, WITHOUT_HASH } from './api-key-row.ts';
import { declareApiKey } from './declared-api-key.ts';
import type { Roles } from './roles.ts';

export interface CreateApiKey extends NewApiKey {
  /** Whether the caller owns the key. A personal key stops working when its owner is disabled or deleted. */
  readonly personal?: boolean;
}

/** The counters at the time the request arrived, and whether the request certainly came from this machine. */
export interface KeyRequest {
  readonly access: number;
  readonly registry: number;
  readonly local: boolean;
}

type MaybePromise<T> = T | Promise<T>;

const MAX_ROLES = 100;
/**
 * Manages API keys. Authentication does not write to the database. A revocation by any process applies from the next
 * request.
 */
export class ApiKeys {
  readonly #database: Database;
  readonly #roles: Roles;
  readonly #audit: AuditLog;
  readonly #now: () => Date;
  readonly #cache: ApiKeyCache;
  /** The last use of each key that is not stored yet. */
  readonly #lastUses = new Map<number, Date>();

  constructor(options: { database: Database; roles: Roles; audit: AuditLog; now: () => Date }) {
    this.#database = options.database;
    this.#roles = options.roles;
    this.#audit = options.audit;
    this.#now = options.now;
    this.#cache = new ApiKeyCache(options.database);
  }

  /**
   * Returns the viewer of an API key. Undefined if the key is unknown, revoked, expired, disabled or malformed, or if
   * it is weak and the request could have come from another machine.
   */
  authenticate(text: string, request: KeyRequest): MaybePromise<Viewer | undefined> {
    const key = this.#cache.find(text, request.access);
    return key instanceof Promise
      ? key.then((found) => found && this.#viewer(found, request))
      : this.#viewer(key, request);
  }

  #viewer(key: CachedApiKey, counters: KeyRequest): MaybePromise<Viewer | undefined> {
    const { disabled, expiresAt, weak } = key;
    if (disabled || (weak && !counters.local) || (expiresAt && expiresAt <= this.#now())) return undefined;
    this.#lastUses.set(key.id, this.#now());
    const grants = this.#roles.grantsOf(key.roles, counters);
    return grants instanceof Promise ? grants.then((found) => apiKeyViewer(key, found)) : apiKeyViewer(key, grants);
  }

  /**
   * Creates a key with a secret of 256 random bits. Its text is returned only now. A personal key holds at most the
   * roles of its owner; a service key requires `access.manage`.
   */
  create(caller: Caller, input: CreateApiKey): Promise<CreatedApiKey> {
    return this.#audit.recordIfRefused(caller, 'api-key.create', () => this.#create(caller, input));
  }

  async #create(caller: Caller, input: CreateApiKey): Promise<CreatedApiKey> {
    const { creator, ownerId } = this.#authorizeCreate(caller, input);
    const issues: InputIssue[] = [];
    const issue = (field: string, message: string) => issues.push({ path: [field], message });
    requireFewRoles(input.roles);
    await this.#roles.addUnknownIssue(input.roles, issues);
    if (input.name.length > MAX_NAME || input.name.trim() === '') issue('name', 'must be 1 to 253 characters');
    else if (!isStorable(input.name) || /\p{Cc}/u.test(input.name))
      issue('name', 'must not contain control characters or lone surrogates');
    const unknownScopes = (input.scopes ?? []).filter((scope) => !ACTIONS.includes(scope as Action));
    if (unknownScopes.length > 0)
      issue('scopes', `no action is named ${formatNames(unknownScopes)}: use ${ACTIONS.join(', ')}`);
    if (input.expiresAt && input.expiresAt <= this.#now()) issue('expiresAt', 'must be in the future');
    throwIfInvalid(issues);
    const [roles, scopes] = [distinct(input.roles), input.scopes && distinct(input.scopes)];
    const key = { ...input, roles, scopes, ownerId, secret: createSecret() };
    return changeAccess(this.#database, creator, async (tx) => {
      await this.#roles.requireExisting(tx, roles);
      if (ownerId === null) await requireCoverage(tx, caller, [{ roles, scopes }]);
      return insertApiKey(tx, caller, key, { database: this.#database, at: this.#now() });
    });
  }

  /** Lists the keys that the caller may manage, without their hashes, ordered by id. */
  async list(caller: Caller) {
    const viewer = requireViewer(caller);
    const all = hasActionOnAll(viewer, 'access.manage');
    const rows = await this.#database.prisma.apiKey.findMany({
      where: all ? {} : ownedBy(viewer),
      ...WITHOUT_HASH,
      orderBy: { id: 'asc' },
    });
    return rows.map((row) => ({ ...toApiKey(row), lastUsedAt: latest(row.lastUsedAt, this.#lastUses.get(row.id)) }));
  }

  /** Stores the last use of each key. A background job calls it, so that requests do not write. */
  async storeUse(): Promise<void> {
    const used = [...this.#lastUses];
    if (used.length === 0) return;
    await this.#database.prisma.$transaction(async (tx) => {
      for (const [id, at] of used) {
        // The clock may have been set back since.
        const lastUsedAt = new Date(Math.min(at.getTime(), this.#now().getTime()));
        // Another replica may have stored a later use.
        const earlier = { OR: [{ lastUsedAt: null }, { lastUsedAt: { lt: lastUsedAt } }] };
        await tx.apiKey.updateMany({ where: { id, ...earlier }, data: { lastUsedAt } });
      }
    });
    for (const [id, at] of used) if (this.#lastUses.get(id) === at) this.#lastUses.delete(id);
  }

  /**
   * Returns the authorized caller and the id of the owner of a new key; null for a service key. Throws if the caller may
   * not create the key.
   */
  #authorizeCreate(
    caller: Caller,
    { personal, roles, expiresAt }: CreateApiKey,
  ): { creator: AuthorizedCaller<'ALL' | 'OWN'>; ownerId: number | null } {
    if (!personal) {
      const creator = requireActionOnAll(caller, 'access.manage');
      refuseToOutlive(creator.viewer, expiresAt);
      return { creator, ownerId: null };
    }
    const creator = requireOwnAccount(caller);
    const { viewer } = creator;
    if (viewer.kind !== 'USER' || viewer.userId === undefined)
      throw invalidInput([
        { path: ['personal'], message: 'only a signed-in user can create personal keys: sign in with a password' },
      ]);
    requireFewRoles(roles);
    const notHeld = roles.filter((role) => !viewer.roles.includes(role));
    if (notHeld.length > 0)
      throw invalidInput([{ path: ['roles'], message: `you do not hold ${formatNames(notHeld)} yourself` }]);
    return { creator, ownerId: viewer.userId };
  }

  /** Revokes a key. It is rejected from the next request on. */
  revoke(caller: Caller, id: number): Promise<void> {
    return this.#audit.recordIfRefused(caller, 'api-key.revoke', () => this.#revoke(caller, id));
  }

  async #revoke(caller: Caller, id: number): Promise<void> {
    const self = requireOwnAccount(caller);
    const { viewer } = self;
    const managesAll = hasActionOnAll(viewer, 'access.manage');
    const own = managesAll ? {} : ownedBy(viewer);
    await changeAccess(this.#database, self, async (tx) => {
      const key = await tx.apiKey.findFirst({
        where: { id, ...own },
        select: { name: true, roles: true, scopes: true },
      });
      if (!key) throw new DomainError('NOT_FOUND', 'API key not found');
      if (managesAll) await requireCoverage(tx, caller, [entitlementOf(key)]);
      await tx.apiKey.delete({ where: { id } });
      const changes = { apiKey: { from: id }, name: { from: key.name }, roles: { from: key.roles } };
      await record(tx, caller, { action: 'api-key.revoke', at: this.#now(), changes });
    });
  }

  /**
   * Creates the first admin key if no key exists; of two concurrent starts, only one creates it. The key is handed over
   * before the transaction commits: a start that is killed in between leaves no key that no user knows.
   */
  async ensureFirst(caller: Caller, handOver: (text: string) => Promise<void>): Promise<void> {
    if ((await this.#database.prisma.apiKey.count()) > 0) return;
    const secret = createSecret();
    let handedOver: number | undefined;
    await this.#database.write('access', async (tx) => {
      if ((await tx.apiKey.count()) > 0) return;
      // A retry after a conflict creates the key that was already handed over.
      const key = { name: 'first admin key', roles: ['admin'], secret, id: handedOver };
      const { id, text } = await insertApiKey(tx, caller, key, { database: this.#database, at: this.#now() });
      if (handedOver === undefined) await handOver(text);
      handedOver = id;
    });
  }

  /**
   * Creates the admin key of the configuration, or replaces its hash. Disables the keys that earlier starts declared.
   * Returns whether the key is weak.
   */
  declare(caller: Caller, text: string | undefined): Promise<{ weak: boolean }> {
    return declareApiKey(caller, text, { database: this.#database, now: this.#now });
  }
}

function latest(left: Date | null, right: Date | undefined): Date | null {
  return right && (!left || right > left) ? right : left;
}

/** A filter for the personal keys of a signed-in user. An API key cannot manage the keys of its owner. */
function ownedBy({ kind, userId }: Viewer) {
  return { ownerId: kind === 'USER' && userId !== undefined ? userId : -1 };
}

function entitlementOf({ roles, scopes }: { roles: unknown; scopes: unknown }): Entitlement {
  return { roles: toStrings(roles), scopes: scopes === null ? null : toStrings(scopes) };
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function requireFewRoles(roles: readonly string[]): void {
  if (roles.length > MAX_ROLES) throw invalidInput([{ path: ['roles'], message: `must be at most ${MAX_ROLES}` }]);
}
