import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { lazy } from '../../lazy.ts';
import type { Counters, Database } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Action } from './action.ts';
import type { Caller } from './caller.ts';
import { clustersWithAction, scopesOf } from './permissions.ts';

/** A cluster that a viewer may read at one point in time: its uid, and the registry counter of its last change. */
interface VisibleCluster {
  readonly uid: string;
  readonly registryChange: number;
}

/**
 * The clusters that a viewer may read at one point in time, by ascending id. Callers share one set; it is immutable.
 */
export type VisibleSet = ReadonlyMap<number, VisibleCluster>;

/** The same clusters with the counters of their last changes, status changes included: for cursors and streams. */
export type VisibleChanges = ReadonlyMap<number, VisibleCluster & { readonly changes: string }>;

/** The counters of a cluster, independent of any caller. */
interface ClusterRow extends VisibleCluster {
  readonly id: number;
  readonly statusChange: number;
}

/** The counters of all clusters. They include every status change up to `status`, and may include later ones. */
interface ReadRows {
  readonly status: number;
  readonly rows: readonly ClusterRow[];
}

/** The status counter of the last status change per cluster id, as of the given counters. */
interface StatusChanges {
  readonly registry: number;
  readonly status: number;
  readonly changes: Promise<ReadonlyMap<number, number>>;
}

/**
 * Rows that one statement reads, and steps of one statement that matches clusters against scopes (one step is one cluster
 * against one label requirement): about 10 ms each.
 */
const ROWS_AT_ONCE = 2_500;
const STEPS_AT_ONCE = 25_000;
/** Most sets of scopes in the cache, 2 MB each at 10,000 clusters; the least recently used one is dropped first. */
const MAX_CACHED = 20;

const NO_CLUSTERS: VisibleChanges = new Map();

/**
 * The clusters that each set of scopes makes visible. They are computed once per value of the registry counter and shared by
 * requests, API keys and streams; the computation is split into batches, so that other requests are served in between. A
 * scope depends only on names and labels. So after a status change only the rows with a new status are read, and only for
 * cursors and streams.
 */
export class VisibleClusters {
  readonly #database: Pick<Database, 'prisma' | 'counters'>;
  readonly #scopeIds = new WeakMap<object, number>();
  #lastScopeId = 0;
  readonly #rows = lazy<ReadRows, number>(() => this.#readRows());
  #statuses: StatusChanges | undefined;
  #members = new RegistryCache<VisibleSet>();
  #changes = new RegistryCache<VisibleChanges>();

  constructor(database: Pick<Database, 'prisma' | 'counters'>) {
    this.#database = database;
  }

  /** The clusters on which the caller's scopes currently allow the action. */
  async readVisible(caller: Caller, action: Action = 'clusters.read'): Promise<VisibleSet> {
    return this.#membersAt(await this.#database.counters(), caller, action);
  }

  /** The clusters that the caller's scopes currently allow to read, with the counters of their last changes. */
  async readVisibleChanges(caller: Caller): Promise<VisibleChanges> {
    const counters = await this.#database.counters();
    const key = this.#keyOf(scopesOf(caller, 'clusters.read'));
    if (key === '') return NO_CLUSTERS;
    return this.#changes.get(`${key} ${counters.status}`, counters.registry, async () => {
      const members = await this.#membersAt(counters, caller, 'clusters.read');
      const statuses = await this.#statusesAt(counters);
      const visible = new Map<number, VisibleCluster & { changes: string }>();
      for (const [id, { uid, registryChange }] of members)
        visible.set(id, { uid, registryChange, changes: `${registryChange}.${statuses.get(id) ?? 0}` });
      return visible;
    });
  }

  /**
   * Removes the rows that the caller may not see. The rows were read after `visible`: clusters that have changed since are
   * matched against the scopes again.
   */
  async filterVisible<R extends { readonly id: number; readonly registryChange: number }>(
    caller: Caller,
    rows: readonly R[],
    visible: VisibleSet,
    action: Action = 'clusters.read',
  ): Promise<R[]> {
    const candidates = rows.filter(({ id }) => visible.has(id));
    const changed = candidates.filter(({ id, registryChange }) => visible.get(id)?.registryChange !== registryChange);
    if (changed.length === 0) return candidates;
    const found = await this.#database.prisma.cluster.findMany({
      where: { AND: [{ id: { in: changed.map(({ id }) => id) } }, clustersWithAction(caller, action)] },
      select: { id: true },
    });
    const stillVisible = new Set(found.map(({ id }) => id));
    return candidates.filter((row) => !changed.includes(row) || stillVisible.has(row.id));
  }

  async #membersAt(counters: Counters, caller: Caller, action: Action): Promise<VisibleSet> {
    const scopes = scopesOf(caller, action);
    const key = this.#keyOf(scopes);
    if (key === '') return NO_CLUSTERS;
    const stepsOfRow = Math.max(1, ...scopes.map(({ steps }) => steps ?? 1));
    return this.#members.get(key, counters.registry, async () =>
      // Read the counters' rows before matching: a cluster that changes in between then counts as changed since.
      this.#membersOf(clustersWithAction(caller, action), (await this.#rows(counters.registry)).rows, stepsOfRow),
    );
  }

  /** Returns the cache key of a set of scopes; the empty string for the empty set. */
  #keyOf(scopes: readonly { readonly clusters: object }[]): string {
    const idOf = (scope: object) => {
      const id = this.#scopeIds.get(scope) ?? ++this.#lastScopeId;
      this.#scopeIds.set(scope, id);
      return id;
    };
    return scopes
      .map(({ clusters }) => idOf(clusters))
      .sort()
      .join();
  }

  /** The counters of the last status changes: read completely once, later only for clusters with a new status. */
  #statusesAt(counters: Counters): StatusChanges['changes'] {
    const { registry, status } = counters;
    const known = this.#statuses?.registry === registry ? this.#statuses : undefined;
    if (known && known.status >= status) return known.changes;
    const changes = known ? this.#addChangesSince(known.status, known.changes) : this.#initialStatuses(registry);
    const next = { registry, status, changes };
    this.#statuses = next;
    changes.catch(() => {
      if (this.#statuses === next) this.#statuses = undefined;
    });
    return changes;
  }

  async #initialStatuses(registry: number): StatusChanges['changes'] {
    const { status, rows } = await this.#rows(registry);
    return this.#addChangesSince(status, new Map(rows.map(({ id, statusChange }) => [id, statusChange])));
  }

  async #addChangesSince(
    since: number,
    before: ReadonlyMap<number, number> | StatusChanges['changes'],
  ): StatusChanges['changes'] {
    const statuses = new Map(await before);
    const changed = await this.#database.prisma.cluster.findMany({
      where: { statusChange: { gt: since } },
      select: { id: true, statusChange: true },
    });
    for (const { id, statusChange } of changed) statuses.set(id, statusChange);
    return statuses;
  }

  async #readRows(): Promise<ReadRows> {
    const { status } = await this.#database.counters();
    const rows: ClusterRow[] = [];
    for (;;) {
      const part = await this.#database.prisma.cluster.findMany({
        where: { id: { gt: rows.at(-1)?.id ?? 0 } },
        select: { id: true, uid: true, registryChange: true, statusChange: true },
        orderBy: { id: 'asc' },
        take: ROWS_AT_ONCE,
      });
      rows.push(...part);
      if (part.length < ROWS_AT_ONCE) return { status, rows };
    }
  }

  async #membersOf(scopes: Prisma.ClusterWhereInput, rows: readonly ClusterRow[], stepsOfRow: number) {
    const members = new Map<number, ClusterRow>();
    const size = Math.min(rows.length, Math.max(1, Math.floor(STEPS_AT_ONCE / stepsOfRow)));
    for (let begin = 0; begin < rows.length; begin += size) {
      const part = rows.slice(begin, begin + size);
      const [first, last] = [part[0]?.id ?? 0, part.at(-1)?.id ?? 0];
      const found = await this.#database.prisma.cluster.findMany({
        where: { AND: [{ id: { gte: first, lte: last } }, scopes] },
        select: { id: true },
      });
      const ids = new Set(found.map(({ id }) => id));
      // Iterate over the rows, not over the ids found: the rows are in ascending order of id.
      for (const row of part) if (ids.has(row.id)) members.set(row.id, row);
    }
    return members;
  }
}

/** Caches values for the newest value of the registry counter, at most MAX_CACHED of them. */
class RegistryCache<Value> {
  #registry = -1;
  #values = new LRUCache<string, Promise<Value>>({ max: MAX_CACHED });

  get(key: string, registry: number, compute: () => Promise<Value>): Promise<Value> {
    if (registry < this.#registry) return compute();
    if (registry > this.#registry) this.#values = new LRUCache({ max: MAX_CACHED });
    this.#registry = registry;
    const known = this.#values.get(key);
    if (known) return known;
    const computing = compute();
    const values = this.#values;
    values.set(key, computing);
    computing.catch(() => values.delete(key));
    return computing;
  }
}

// The counters reveal the activity in the whole registry. With this secret in the digest, a caller cannot recover them from a
// cursor by guessing.
const CURSOR_SECRET = randomBytes(32).toString('base64url');

const cursors = new WeakMap<VisibleChanges, string>();

/**
 * Writes the cursor of a caller who cannot read every cluster. It reveals nothing about the hidden clusters: it only allows
 * to tell whether the same clusters are visible, and whether any of them has changed.
 */
export function writeVisibleCursor(visible: VisibleChanges): string {
  const known = cursors.get(visible);
  if (known !== undefined) return known;
  const uids = [...visible.values()].map(({ uid }) => uid).join();
  const changes = [...visible.values()].map((cluster) => cluster.changes).join();
  const cursor = `v.${digest(uids)}.${digest(`${CURSOR_SECRET} ${uids} ${changes}`)}`;
  cursors.set(visible, cursor);
  return cursor;
}

/**
 * The clusters that became hidden (`gone`), and the clusters that became visible or changed, between two points in
 * time.
 */
export interface VisibleChange {
  readonly gone: readonly { readonly id: number; readonly uid: string }[];
  readonly changed: readonly { readonly id: number; readonly uid: string }[];
}

const differences = new WeakMap<VisibleChanges, { readonly to: VisibleChanges; readonly change: VisibleChange }>();

/** Compares two points in time. Streams that compare the same two share the result. */
export function changeBetween(from: VisibleChanges, to: VisibleChanges): VisibleChange {
  const known = differences.get(from);
  if (known?.to === to) return known.change;
  const idAndUid = ([id, { uid }]: [number, VisibleCluster]) => ({ id, uid });
  const change =
    from === to
      ? { gone: [], changed: [] }
      : {
          gone: [...from].filter(([id]) => !to.has(id)).map(idAndUid),
          changed: [...to].filter(([id, { changes }]) => from.get(id)?.changes !== changes).map(idAndUid),
        };
  differences.set(from, { to, change });
  return change;
}

const CURSOR = /^v\.([\w-]{22})\.[\w-]{22}$/;

export function isVisibleCursor(text: string): boolean {
  return CURSOR.test(text);
}

/**
 * Compares a cursor with the clusters that are visible now: nothing has changed (SAME), some of the same clusters have
 * changed (CHANGED), or other clusters are visible (OTHERS). Returns undefined if the text is not such a cursor.
 */
export function compareVisible(cursor: string, visible: VisibleChanges): 'SAME' | 'CHANGED' | 'OTHERS' | undefined {
  const [, uids] = CURSOR.exec(cursor) ?? [];
  if (uids === undefined) return undefined;
  const now = writeVisibleCursor(visible);
  if (now === cursor) return 'SAME';
  return now.startsWith(`v.${uids}.`) ? 'CHANGED' : 'OTHERS';
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}
