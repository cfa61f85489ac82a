import type { Database, Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { hashSecret, makeSecret, parseApiKey, secretMatches } from './api-key.ts';
import type { Action } from './permissions.ts';
import type { Grant, Viewer } from './viewer.ts';

/** A key as a request is checked against it. */
export interface CachedApiKey {
  readonly id: number;
  readonly name: string;
  /** The roles it holds; of a person's key, those alone that its owner holds too. */
  readonly roles: readonly string[];
  readonly scopes: ReadonlySet<Action> | undefined;
  readonly ownerId: number | null;
  readonly hash: string;
  readonly weak: boolean;
  readonly disabled: boolean;
  readonly expiresAt: Date | null;
}

/** What the id of a key's viewer begins with. */
const KEY = 'api-key:';
const MAX_CHECKED = 1_000;

// Compared with when there is no such key, so that an unknown id takes as long as a wrong secret.
const NOBODY = hashSecret(makeSecret());

/** The keys in memory, by the `access` counter: whatever changes one, or whose it is, raises it. */
export class ApiKeyCache {
  readonly #database: Database;
  #stored: { access: number; keys: Promise<ReadonlyMap<number, CachedApiKey>> } | undefined;
  /** Keys that were checked under this value of the counter, by their text: hashing costs more than a kept answer. */
  #checked: { access: number; keys: Map<string, CachedApiKey> } = { access: -1, keys: new Map() };

  constructor(database: Database) {
    this.#database = database;
  }

  /** The key that has this text; at once where it was checked before. */
  find(text: string, access: number): CachedApiKey | Promise<CachedApiKey | undefined> {
    const checked = this.#checked.access === access ? this.#checked.keys.get(text) : undefined;
    return checked ?? this.#check(text, access);
  }

  async #check(text: string, access: number): Promise<CachedApiKey | undefined> {
    const key = parseApiKey(text);
    const known = key && (await this.#keys(access)).get(key.id);
    const matches = secretMatches(key?.secret ?? '', known?.hash ?? NOBODY);
    if (!key || !known || !matches) return undefined;
    if (this.#checked.access < access) this.#checked = { access, keys: new Map() };
    if (this.#checked.access === access && this.#checked.keys.size < MAX_CHECKED) this.#checked.keys.set(text, known);
    return known;
  }

  #keys(access: number): Promise<ReadonlyMap<number, CachedApiKey>> {
    if (this.#stored?.access !== access) {
      const keys = this.#load();
      this.#stored = { access, keys };
      // A failed read is forgotten, so that the next request tries again.
      keys.catch(() => {
        if (this.#stored?.keys === keys) this.#stored = undefined;
      });
    }
    return this.#stored.keys;
  }

  async #load(): Promise<ReadonlyMap<number, CachedApiKey>> {
    const rows = await this.#database.prisma.apiKey.findMany(withOwner);
    return new Map(rows.map((row) => [row.id, knownKey(row)]));
  }
}

const withOwner = {
  include: { owner: { select: { disabled: true, roles: { select: { role: true } } } } },
} as const;

function knownKey({ owner, roles, scopes, ...row }: Prisma.ApiKeyGetPayload<typeof withOwner>): CachedApiKey {
  const held = owner?.roles.map(({ role }) => role);
  const named = stringsOf(roles);
  return {
    ...row,
    roles: held ? named.filter((role) => held.includes(role)) : named,
    scopes: scopes === null ? undefined : new Set(stringsOf(scopes) as Action[]),
    disabled: row.disabled || (owner?.disabled ?? false),
  };
}

/** The roles that a key has as a transaction sees it; undefined where it is revoked or disabled. */
export async function rolesOfKey(tx: Transaction, { id: name }: Viewer): Promise<readonly string[] | undefined> {
  const row = await tx.apiKey.findUnique({ ...withOwner, where: { id: Number(name.slice(KEY.length)) } });
  const key = row && knownKey(row);
  return key && !key.disabled ? key.roles : undefined;
}

/** Who a key is, with what its roles grant. */
export function viewerOf(
  { id, name, roles, scopes, ownerId, expiresAt }: CachedApiKey,
  grants: readonly Grant[],
): Viewer {
  const narrowed = scopes
    ? grants.map((grant) => ({ ...grant, actions: new Set([...grant.actions].filter((action) => scopes.has(action))) }))
    : grants;
  return {
    ...{ kind: 'API_KEY', id: `${KEY}${id}`, name, roles, grants: narrowed },
    ...(ownerId === null ? {} : { userId: ownerId }),
    ...(expiresAt === null ? {} : { expiresAt }),
  };
}

/** The texts of a column that holds a list of them. */
export function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
