import { advanceApiKeySequence } from '../../storage/api-key-sequence.ts';
import { type Database, NO_JSON, type Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { record } from '../audit.ts';
import { throwIfInvalid } from '../clusters/cluster.ts';
import { DomainError, type InputIssue, invalidInput, listed } from '../errors.ts';
import { isStorable, MAX_NAME } from '../storable.ts';
import { formatApiKey, hashSecret, isWeak, makeSecret, parseApiKey } from './api-key.ts';
import { ApiKeyCache, type CachedApiKey, stringsOf, viewerOf } from './api-key-cache.ts';
import { changeAccess } from './change-access.ts';
import { type Entitlement, refuseToOutlive, requireCoverage } from './coverage.ts';
import { ACTIONS, type Action, hasActionOnAll, requireActionOnAll, requireViewer } from './permissions.ts';
import type { Roles } from './roles.ts';
import type { Caller, Viewer } from './viewer.ts';

export interface CreateApiKey {
  readonly name: string;
  readonly roles: readonly string[];
  /** The actions it is narrowed to; absent: all that its roles hold. */
  readonly scopes?: readonly string[] | null | undefined;
  readonly expiresAt?: Date | null | undefined;
  /** Whether it is the caller's own, and ends with them. */
  readonly personal?: boolean;
}

/** A key that was made: its text is known this once. */
export interface CreatedApiKey {
  readonly id: number;
  readonly text: string;
  readonly apiKey: ApiKey;
}

interface NewKey extends Omit<CreateApiKey, 'personal'> {
  readonly id?: number | undefined;
  readonly secret: string;
  readonly ownerId?: number | null;
}

/** An API key without its hash. */
export type ApiKey = ReturnType<typeof shownKey>;

/** The counters when the request arrived, and whether it can have come from this machine alone. */
export interface KeyRequest {
  readonly access: number;
  readonly registry: number;
  readonly local: boolean;
}

type MaybePromise<T> = T | Promise<T>;

const MAX_OWNED = 100;
const MAX_ROLES = 100;
// Keys that are made later go on from the highest id there is.
const MAX_DECLARED = 999_999_999;

/** API keys. A request that shows one writes nothing; a revocation, by whichever process, counts from the next request on. */
export class ApiKeys {
  readonly #database: Database;
  readonly #roles: Roles;
  readonly #now: () => Date;
  readonly #known: ApiKeyCache;
  /** When keys were used last, since that was stored last. */
  readonly #used = new Map<number, Date>();

  constructor({ database, roles, now }: { database: Database; roles: Roles; now: () => Date }) {
    this.#database = database;
    this.#roles = roles;
    this.#now = now;
    this.#known = new ApiKeyCache(database);
  }

  /**
   * The viewer whose key this is; undefined when it is unknown, revoked, expired, disabled or malformed, or when it is
   * weak and the request could have come from another machine.
   */
  authenticate(text: string, request: KeyRequest): MaybePromise<Viewer | undefined> {
    const key = this.#known.find(text, request.access);
    return key instanceof Promise
      ? key.then((found) => found && this.#viewer(found, request))
      : this.#viewer(key, request);
  }

  #viewer(key: CachedApiKey, counters: KeyRequest): MaybePromise<Viewer | undefined> {
    const { disabled, expiresAt, weak } = key;
    if (disabled || (weak && !counters.local) || (expiresAt && expiresAt <= this.#now())) return undefined;
    this.#used.set(key.id, this.#now());
    const grants = this.#roles.grantsOf(key.roles, counters);
    return grants instanceof Promise ? grants.then((found) => viewerOf(key, found)) : viewerOf(key, grants);
  }

  /**
   * Makes a key of 256 random bits; its text is shown this once. A person's own key holds at most their roles; a
   * service's key is the admin's to make.
   */
  async create(caller: Caller, input: CreateApiKey): Promise<CreatedApiKey> {
    const ownerId = this.#ownerOf(caller, input);
    const issues: InputIssue[] = [];
    const issue = (field: string, message: string) => issues.push({ path: [field], message });
    refuseTooMany(input.roles);
    await this.#roles.check(input.roles, issues);
    if (input.name.length > MAX_NAME || input.name.trim() === '') issue('name', 'must be 1 to 253 characters');
    else if (!isStorable(input.name) || /\p{Cc}/u.test(input.name))
      issue('name', 'must not hold control characters or lone surrogates');
    const strange = (input.scopes ?? []).filter((scope) => !ACTIONS.includes(scope as Action));
    if (strange.length > 0) issue('scopes', `no action is named ${listed(strange)}; there is ${ACTIONS.join(', ')}`);
    if (input.expiresAt && input.expiresAt <= this.#now()) issue('expiresAt', 'must be in the future');
    throwIfInvalid(issues);
    const [roles, scopes] = [distinct(input.roles), input.scopes && distinct(input.scopes)];
    const key = { ...input, roles, scopes, ownerId, secret: makeSecret() };
    return changeAccess(this.#database, caller, async (tx) => {
      await this.#roles.refuseUnknown(tx, roles);
      if (ownerId === null) await requireCoverage(tx, caller, [{ roles, scopes }]);
      return this.#insert(tx, caller, key);
    });
  }

  /** The keys that the caller may manage, without their hashes, ordered by id. */
  async list(caller: Caller) {
    const viewer = requireViewer(caller);
    const all = hasActionOnAll(viewer, 'access.manage');
    const rows = await this.#database.prisma.apiKey.findMany({
      where: all ? {} : ownedBy(viewer),
      ...shown,
      orderBy: { id: 'asc' },
    });
    return rows.map((row) => ({ ...shownKey(row), lastUsedAt: latest(row.lastUsedAt, this.#used.get(row.id)) }));
  }

  /** Stores when keys were used last; called now and then, never by the request that uses one. */
  async storeUse(): Promise<void> {
    const used = [...this.#used];
    if (used.length === 0) return;
    await this.#database.prisma.$transaction(async (tx) => {
      for (const [id, at] of used) {
        // The clock may have been corrected since.
        const lastUsedAt = new Date(Math.min(at.getTime(), this.#now().getTime()));
        // Another replica may have stored a later use.
        const earlier = { OR: [{ lastUsedAt: null }, { lastUsedAt: { lt: lastUsedAt } }] };
        await tx.apiKey.updateMany({ where: { id, ...earlier }, data: { lastUsedAt } });
      }
    });
    for (const [id, at] of used) if (this.#used.get(id) === at) this.#used.delete(id);
  }

  /** Whose the key will be: the caller's own, or with `access.manage` nobody's. */
  #ownerOf(caller: Caller, { personal, roles, expiresAt }: CreateApiKey): number | null {
    const viewer = requireViewer(caller);
    if (!personal) {
      requireActionOnAll(caller, 'access.manage');
      refuseToOutlive(viewer, expiresAt);
      return null;
    }
    if (viewer.kind !== 'USER' || viewer.userId === undefined)
      throw invalidInput([
        { path: ['personal'], message: 'only a person has keys of their own: sign in with a password' },
      ]);
    refuseTooMany(roles);
    const more = roles.filter((role) => !viewer.roles.includes(role));
    if (more.length > 0) throw invalidInput([{ path: ['roles'], message: `you do not hold ${listed(more)} yourself` }]);
    return viewer.userId;
  }

  /** Forgets a key; it is refused from the next request on. */
  async revoke(caller: Caller, id: number): Promise<void> {
    const viewer = requireViewer(caller);
    const managesAll = hasActionOnAll(viewer, 'access.manage');
    const own = managesAll ? {} : ownedBy(viewer);
    await changeAccess(this.#database, caller, async (tx) => {
      const key = await tx.apiKey.findFirst({
        where: { id, ...own },
        select: { name: true, roles: true, scopes: true },
      });
      if (!key) throw new DomainError('NOT_FOUND', 'API key not found');
      if (managesAll) await requireCoverage(tx, caller, [holdingOf(key)]);
      await tx.apiKey.delete({ where: { id } });
      const changes = { apiKey: { from: id }, name: { from: key.name }, roles: { from: key.roles } };
      await record(tx, caller, { action: 'api-key.revoke', at: this.#now(), changes });
    });
  }

  /**
   * Makes the first admin key where there is no key at all; of two starts at once one makes it. It is handed over before
   * it counts: a start that is killed in between leaves no key that nobody knows.
   */
  async ensureFirst(caller: Caller, handOver: (text: string) => Promise<void>): Promise<void> {
    if ((await this.#database.prisma.apiKey.count()) > 0) return;
    const secret = makeSecret();
    let handedOver: number | undefined;
    await this.#database.write('access', async (tx) => {
      if ((await tx.apiKey.count()) > 0) return;
      // Run again after a conflict, it makes the key that was handed over.
      const key = { name: 'first admin key', roles: ['admin'], secret, id: handedOver };
      const { id, text } = await this.#insert(tx, caller, key);
      if (handedOver === undefined) await handOver(text);
      handedOver = id;
    });
  }

  /**
   * Declares the admin key of the configuration: made, or its hash replaced; without one, those that earlier starts
   * declared are disabled. Tells whether the key is weak.
   */
  async declare(caller: Caller, text: string | undefined): Promise<{ weak: boolean }> {
    const key = text === undefined ? undefined : parseApiKey(text);
    if (text !== undefined && (!key || key.id > MAX_DECLARED))
      throw invalidInput([
        { path: ['ADMIN_API_KEY'], message: 'must be kite<id>-<secret>, such as kite1- and 32 random bytes in hex' },
      ]);
    const declared = key && { ...declaredKey(key.secret), id: key.id };
    const stale = await this.#database.prisma.apiKey.count({
      where: { source: 'CONFIGURATION', disabled: false, NOT: declared ? { id: declared.id } : {} },
    });
    const current = declared && (await this.#database.prisma.apiKey.findUnique({ where: { id: declared.id } }));
    const stands =
      !declared ||
      (current?.hash === declared.hash && !current.disabled && current.source === declared.source && !current.ownerId);
    if (stale > 0 || !stands)
      await this.#database.write('access', async (tx) => {
        const at = this.#now();
        await tx.apiKey.updateMany({ where: { source: 'CONFIGURATION' }, data: { disabled: true } });
        if (declared) {
          const { id, ...data } = declared;
          await tx.apiKey.upsert({ where: { id }, create: { id, ...data, createdAt: at }, update: data });
        }
        await record(tx, caller, { action: 'api-key.declare', at, changes: { apiKey: { to: declared?.id ?? null } } });
      });
    return { weak: declared?.weak ?? false };
  }

  async #insert(tx: Transaction, caller: Caller, { id: given, secret, ...input }: NewKey): Promise<CreatedApiKey> {
    const at = this.#now();
    const owned = input.ownerId ? await tx.apiKey.count({ where: { ownerId: input.ownerId } }) : 0;
    if (owned >= MAX_OWNED)
      throw invalidInput([{ path: ['personal'], message: `you have ${MAX_OWNED} keys already: revoke some first` }]);
    await advanceApiKeySequence(this.#database, tx);
    const row = await tx.apiKey.create({
      data: {
        ...(given === undefined ? {} : { id: given }),
        ...{ name: input.name, hash: hashSecret(secret), roles: [...input.roles], source: 'GENERATED' },
        ...{ createdAt: at, expiresAt: input.expiresAt ?? null, ownerId: input.ownerId ?? null },
        ...(input.scopes ? { scopes: [...input.scopes] } : {}),
      },
      ...shown,
    });
    const { id } = row;
    await record(tx, caller, {
      action: 'api-key.create',
      at,
      changes: {
        ...{ apiKey: { to: id }, name: { to: input.name }, roles: { to: input.roles } },
        ...(input.scopes ? { scopes: { to: input.scopes } } : {}),
        ...(input.expiresAt ? { expiresAt: { to: input.expiresAt } } : {}),
        ...(input.ownerId ? { owner: { to: `user:${input.ownerId}` } } : {}),
      },
    });
    return { id, text: formatApiKey({ id, secret }), apiKey: shownKey(row) };
  }
}

function latest(left: Date | null, right: Date | undefined): Date | null {
  return right && (!left || right > left) ? right : left;
}

const shown = { omit: { hash: true }, include: { owner: { select: { username: true } } } } as const;

function shownKey({ owner, ownerId: _, roles, scopes, ...row }: Prisma.ApiKeyGetPayload<typeof shown>) {
  return {
    ...row,
    roles: stringsOf(roles),
    scopes: scopes === null ? null : (stringsOf(scopes) as Action[]),
    owner: owner?.username ?? null,
  };
}

/** The keys of a person who is signed in; a key manages no keys of its owner. */
function ownedBy({ kind, userId }: Viewer) {
  return { ownerId: kind === 'USER' && userId !== undefined ? userId : -1 };
}

function holdingOf({ roles, scopes }: { roles: unknown; scopes: unknown }): Entitlement {
  return { roles: stringsOf(roles), scopes: scopes === null ? null : stringsOf(scopes) };
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function declaredKey(secret: string) {
  return {
    name: 'ADMIN_API_KEY',
    hash: hashSecret(secret),
    roles: ['admin'],
    weak: isWeak(secret),
    source: 'CONFIGURATION',
    disabled: false,
    expiresAt: null,
    // Whoever's key had this id: what is declared is nobody's, and narrowed by nothing.
    ownerId: null,
    scopes: NO_JSON,
  };
}

function refuseTooMany(roles: readonly string[]): void {
  if (roles.length > MAX_ROLES) throw invalidInput([{ path: ['roles'], message: `must be at most ${MAX_ROLES}` }]);
}
