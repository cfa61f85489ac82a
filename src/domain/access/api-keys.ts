import type { Database, Transaction } from '../../storage/database.ts';
import { record } from '../audit.ts';
import { DomainError, invalidInput } from '../errors.ts';
import { formatApiKey, hashSecret, isWeak, makeSecret, parseApiKey, secretMatches } from './api-key.ts';
import { ROLES } from './permissions.ts';
import type { Caller, Viewer } from './viewer.ts';

interface KnownKey {
  readonly viewer: Viewer;
  readonly hash: string;
  readonly weak: boolean;
  readonly disabled: boolean;
  readonly expiresAt: Date | null;
}

type MaybePromise<T> = T | Promise<T>;

const MAX_CHECKED = 1_000;
// Keys that are made later go on from the highest id there is.
const MAX_DECLARED = 999_999_999;

// Compared with when there is no such key, so that an unknown id takes as long as a wrong secret.
const NOBODY = hashSecret(makeSecret());

/**
 * API keys. They are kept in memory by the `access` counter: a request writes nothing, and a revocation, by whichever
 * process, counts from the next request on.
 */
export class ApiKeys {
  readonly #database: Database;
  readonly #now: () => Date;
  #known: { access: number; keys: Promise<ReadonlyMap<number, KnownKey>> } | undefined;
  /** Keys that were checked under this value of the counter, by their text: hashing costs more than a kept answer. */
  #checked: { access: number; keys: Map<string, KnownKey> } = { access: -1, keys: new Map() };

  constructor({ database, now }: { database: Database; now: () => Date }) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * The viewer whose key this is; undefined when it is unknown, revoked, expired, disabled or malformed, or when it is
   * weak and the request could have come from another machine.
   */
  authenticate(text: string, request: { access: number; local: boolean }): MaybePromise<Viewer | undefined> {
    const { access, keys } = this.#checked;
    const known = access === request.access ? keys.get(text) : undefined;
    return known ? this.#viewer(known, request.local) : this.#check(text, request);
  }

  async #check(text: string, { access, local }: { access: number; local: boolean }): Promise<Viewer | undefined> {
    const key = parseApiKey(text);
    const known = key && (await this.#keys(access)).get(key.id);
    const matches = secretMatches(key?.secret ?? '', known?.hash ?? NOBODY);
    if (!key || !known || !matches) return undefined;
    if (this.#checked.access < access) this.#checked = { access, keys: new Map() };
    if (this.#checked.access === access && this.#checked.keys.size < MAX_CHECKED) this.#checked.keys.set(text, known);
    return this.#viewer(known, local);
  }

  #viewer({ viewer, disabled, expiresAt, weak }: KnownKey, local: boolean): Viewer | undefined {
    if (disabled || (weak && !local)) return undefined;
    return expiresAt && expiresAt <= this.#now() ? undefined : viewer;
  }

  /** Makes a key of 256 random bits; its text is shown this once. */
  async create(
    caller: Caller,
    input: { name: string; roles: readonly string[]; expiresAt?: Date | undefined },
  ): Promise<{ id: number; text: string }> {
    const unknown = input.roles.filter((role) => !ROLES.includes(role));
    if (unknown.length > 0)
      throw invalidInput([
        { path: ['roles'], message: `no role is named ${unknown.join(', ')}; there is ${ROLES.join(', ')}` },
      ]);
    if (input.name.trim() === '' || input.name.length > 253)
      throw invalidInput([{ path: ['name'], message: 'must be 1 to 253 characters' }]);
    return this.#database.write('access', (tx) => this.#insert(tx, caller, input));
  }

  /** All keys, without their hashes, ordered by id. */
  async list() {
    return this.#database.prisma.apiKey.findMany({ omit: { hash: true }, orderBy: { id: 'asc' } });
  }

  /** Forgets a key; it is refused from the next request on. */
  async revoke(caller: Caller, id: number): Promise<void> {
    await this.#database.write('access', async (tx) => {
      const { count } = await tx.apiKey.deleteMany({ where: { id } });
      if (count === 0) throw new DomainError('NOT_FOUND', 'API key not found');
      await record(tx, caller, { action: 'api-key.revoke', at: this.#now(), changes: { apiKey: { from: id } } });
    });
  }

  /**
   * Makes the first admin key where there is no key at all; of two starts at once one makes it. It is handed over before
   * it counts: a start that is killed in between leaves no key that nobody knows.
   */
  async ensureFirst(caller: Caller, handOver: (text: string) => Promise<void>): Promise<void> {
    if ((await this.#database.prisma.apiKey.count()) > 0) return;
    await this.#database.write('access', async (tx) => {
      if ((await tx.apiKey.count()) > 0) return;
      const { text } = await this.#insert(tx, caller, { name: 'first admin key', roles: ['admin'] });
      await handOver(text);
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
      (current && current.hash === declared.hash && !current.disabled && current.source === declared.source);
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

  async #insert(
    tx: Transaction,
    caller: Caller,
    input: { name: string; roles: readonly string[]; expiresAt?: Date | undefined },
  ) {
    const secret = makeSecret();
    const at = this.#now();
    const { id } = await tx.apiKey.create({
      data: {
        ...{ name: input.name, hash: hashSecret(secret), roles: [...input.roles], source: 'GENERATED' },
        ...{ createdAt: at, expiresAt: input.expiresAt ?? null },
      },
      select: { id: true },
    });
    await record(tx, caller, {
      action: 'api-key.create',
      at,
      changes: { apiKey: { to: id }, name: { to: input.name } },
    });
    return { id, text: formatApiKey({ id, secret }) };
  }

  #keys(access: number): Promise<ReadonlyMap<number, KnownKey>> {
    if (this.#known?.access !== access) {
      const keys = this.#load();
      this.#known = { access, keys };
      // A failed read is forgotten, so that the next request tries again.
      keys.catch(() => {
        if (this.#known?.keys === keys) this.#known = undefined;
      });
    }
    return this.#known.keys;
  }

  async #load(): Promise<ReadonlyMap<number, KnownKey>> {
    const rows = await this.#database.prisma.apiKey.findMany();
    return new Map(rows.map((row) => [row.id, { ...row, viewer: viewerOf(row) }]));
  }
}

function viewerOf({ id, name, roles }: { id: number; name: string; roles: unknown }): Viewer {
  return { kind: 'API_KEY', id: `api-key:${id}`, name, roles: Array.isArray(roles) ? roles.map(String) : [] };
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
  };
}
