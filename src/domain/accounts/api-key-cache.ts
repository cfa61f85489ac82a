import { lazy } from '../../lazy.ts';
import type { Database } from '../../storage/database.ts';
import type { Grant, Viewer } from '../access/caller.ts';
import { type CachedApiKey, toCachedKey, withOwner } from '../access/current-roles.ts';
import { apiKeyViewerId } from '../access/viewer-id.ts';
import { createSecret, hashSecret, parseApiKey, secretMatches } from './api-key.ts';

const MAX_VERIFIED = 1_000;

// Unknown ids are compared with this hash, so that they take as long as a wrong secret.
const DUMMY_HASH = hashSecret(createSecret());

/** Caches all API keys until the `access` counter changes. Every change to a key or its owner raises the counter. */
export class ApiKeyCache {
  readonly #database: Database;
  /** All keys by id, for one value of the counter. */
  readonly #keys = lazy<ReadonlyMap<number, CachedApiKey>, number>(() => this.#load());
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

  async #load(): Promise<ReadonlyMap<number, CachedApiKey>> {
    const rows = await this.#database.prisma.apiKey.findMany(withOwner);
    return new Map(rows.map((row) => [row.id, toCachedKey(row)]));
  }
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
    ...{ kind: 'API_KEY', id: apiKeyViewerId(id), name, roles, grants: narrowed },
    ...(ownerId === null ? {} : { userId: ownerId }),
    ...(expiresAt === null ? {} : { expiresAt }),
  };
}
