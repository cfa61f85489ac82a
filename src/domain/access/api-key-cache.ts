import type { Database, Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { hashSecret, makeSecret, parseApiKey, secretMatches } from './api-key.ts';
import type { Action } from './permissions.ts';
import type { Grant, Viewer } from './viewer.ts';

/** An API key with everything that authentication needs. */
export interface CachedApiKey {
  readonly id: number;
  readonly name: string;
  /** The roles of the key. For a personal key, only the roles that its owner still holds. */
  readonly roles: readonly string[];
  readonly scopes: ReadonlySet<Action> | undefined;
  readonly ownerId: number | null;
  readonly hash: string;
  readonly weak: boolean;
  readonly disabled: boolean;
  readonly expiresAt: Date | null;
}

const VIEWER_ID_PREFIX = 'api-key:';
const MAX_VERIFIED = 1_000;

// Unknown ids are compared with this hash, so that they take as long as a wrong secret.
const DUMMY_HASH = hashSecret(makeSecret());

/** Caches all API keys until the `access` counter changes. Every change to a key or its owner raises the counter. */
export class ApiKeyCache {
  readonly #database: Database;
  #stored: { access: number; keys: Promise<ReadonlyMap<number, CachedApiKey>> } | undefined;
  /** Verified keys, by key text and for one value of the counter: hashing costs more than serving a cached response. */
  #verified: { access: number; keys: Map<string, CachedApiKey> } = { access: -1, keys: new Map() };

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Returns the key with this text; undefined if none matches. Returns it without a promise if it was verified before.
   */
  find(text: string, access: number): CachedApiKey | Promise<CachedApiKey | undefined> {
    const verified = this.#verified.access === access ? this.#verified.keys.get(text) : undefined;
    return verified ?? this.#verify(text, access);
  }

  async #verify(text: string, access: number): Promise<CachedApiKey | undefined> {
    const key = parseApiKey(text);
    const cached = key && (await this.#keys(access)).get(key.id);
    const matches = secretMatches(key?.secret ?? '', cached?.hash ?? DUMMY_HASH);
    if (!key || !cached || !matches) return undefined;
    if (this.#verified.access < access) this.#verified = { access, keys: new Map() };
    if (this.#verified.access === access && this.#verified.keys.size < MAX_VERIFIED)
      this.#verified.keys.set(text, cached);
    return cached;
  }

  #keys(access: number): Promise<ReadonlyMap<number, CachedApiKey>> {
    if (this.#stored?.access !== access) {
      const keys = this.#load();
      this.#stored = { access, keys };
      // Forget a failed read, so that the next request retries it.
      keys.catch(() => {
        if (this.#stored?.keys === keys) this.#stored = undefined;
      });
    }
    return this.#stored.keys;
  }

  async #load(): Promise<ReadonlyMap<number, CachedApiKey>> {
    const rows = await this.#database.prisma.apiKey.findMany(withOwner);
    return new Map(rows.map((row) => [row.id, toCachedKey(row)]));
  }
}

const withOwner = {
  include: { owner: { select: { disabled: true, roles: { select: { role: true } } } } },
} as const;

function toCachedKey({ owner, roles, scopes, ...row }: Prisma.ApiKeyGetPayload<typeof withOwner>): CachedApiKey {
  const ownerRoles = owner?.roles.map(({ role }) => role);
  const keyRoles = toStrings(roles);
  return {
    ...row,
    roles: ownerRoles ? keyRoles.filter((role) => ownerRoles.includes(role)) : keyRoles,
    scopes: scopes === null ? undefined : new Set(toStrings(scopes) as Action[]),
    disabled: row.disabled || (owner?.disabled ?? false),
  };
}

/** Reads the current roles of an API key in a transaction; undefined if the key is revoked or disabled. */
export async function rolesOfKey(tx: Transaction, { id: viewerId }: Viewer): Promise<readonly string[] | undefined> {
  const row = await tx.apiKey.findUnique({
    ...withOwner,
    where: { id: Number(viewerId.slice(VIEWER_ID_PREFIX.length)) },
  });
  const key = row && toCachedKey(row);
  return key && !key.disabled ? key.roles : undefined;
}

/** The viewer of an API key. The scopes of the key narrow the grants of its roles. */
export function apiKeyViewer(
  { id, name, roles, scopes, ownerId, expiresAt }: CachedApiKey,
  grants: readonly Grant[],
): Viewer {
  const narrowed = scopes
    ? grants.map((grant) => ({ ...grant, actions: new Set([...grant.actions].filter((action) => scopes.has(action))) }))
    : grants;
  return {
    ...{ kind: 'API_KEY', id: `${VIEWER_ID_PREFIX}${id}`, name, roles, grants: narrowed },
    ...(ownerId === null ? {} : { userId: ownerId }),
    ...(expiresAt === null ? {} : { expiresAt }),
  };
}

/** Converts a JSON column that contains a list to strings. */
export function toStrings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
