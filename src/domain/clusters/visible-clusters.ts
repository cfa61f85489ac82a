import { hash, randomBytes } from 'node:crypto';
import type { Counters, Database } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { type Action, clustersWithAction, scopesOf } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';

/** A cluster that a viewer may read at one moment: its uid, and the number of its last change in the registry. */
interface VisibleCluster {
  readonly uid: string;
  readonly registryChange: number;
}

/** The clusters that a viewer may read at one moment, by id in ascending order. Callers share it: it never changes. */
export type VisibleSet = ReadonlyMap<number, VisibleCluster>;

/** The same clusters with the numbers of their last changes, those of state included: for cursors and streams. */
export type VisibleChanges = ReadonlyMap<number, VisibleCluster & { readonly changes: string }>;

/** A cluster's numbers, of whichever caller. */
interface Row extends VisibleCluster {
  readonly id: number;
  readonly statusChange: number;
}

/** The number of the last change of state by cluster id, under one value of the counter. */
interface Statuses {
  readonly registry: number;
  readonly status: number;
  readonly changes: Promise<ReadonlyMap<number, number>>;
}

/** Rows that one statement reads, and clusters that one tests against scopes, each of one requirement: some 10 ms. */
const ROWS_AT_ONCE = 2_500;
const STEPS_AT_ONCE = 25_000;
/** Sets of scopes whose clusters are kept, 2 MB each at 10,000 clusters; another one is computed again. */
const MAX_KEPT = 20;

const NONE: VisibleChanges = new Map();

/**
 * The clusters that each set of scopes lets a caller see, computed once for each value of the registry's counter, in parts
 * between which others are answered, and shared by requests, keys and streams. A scope depends on names and labels alone,
 * so a change of state reads only the rows whose state changed, and only for cursors and streams.
 */
export class VisibleClusters {
  readonly #database: Pick<Database, 'prisma' | 'counters'>;
  readonly #names = new WeakMap<object, number>();
  #named = 0;
  #rows: { registry: number; status: number; rows: Promise<readonly Row[]> } | undefined;
  #statuses: Statuses | undefined;
  #members = new Kept<VisibleSet>();
  #changes = new Kept<VisibleChanges>();

  constructor(database: Pick<Database, 'prisma' | 'counters'>) {
    this.#database = database;
  }

  /** The clusters for which the caller holds the action by scopes now. */
  async readVisible(caller: Caller, action: Action = 'clusters.read'): Promise<VisibleSet> {
    return this.#membersAt(await this.#database.counters(), caller, action);
  }

  /** The clusters that the caller may read by scopes now, with the numbers of their last changes. */
  async withChanges(caller: Caller): Promise<VisibleChanges> {
    const counters = await this.#database.counters();
    const key = this.#keyOf(scopesOf(caller, 'clusters.read'));
    if (key === '') return NONE;
    return this.#changes.get(`${key} ${counters.status}`, counters.registry, async () => {
      const members = await this.#membersAt(counters, caller, 'clusters.read');
      const statuses = await this.#statusesAt(counters);
      const visible = new Map<number, VisibleCluster & { changes: string }>();
      for (const [id, { uid, registryChange }] of members)
        visible.set(id, { uid, registryChange, changes: `${registryChange}.${statuses.get(id) ?? 0}` });
      return visible;
    });
  }

  /** Of rows that were read after `visible`, those that the caller may see; a cluster that has changed since is tested again. */
  async filterVisible<R extends { readonly id: number; readonly registryChange: number }>(
    caller: Caller,
    rows: readonly R[],
    visible: VisibleSet,
    action: Action = 'clusters.read',
  ): Promise<R[]> {
    const seen = rows.filter(({ id }) => visible.has(id));
    const changed = seen.filter(({ id, registryChange }) => visible.get(id)?.registryChange !== registryChange);
    if (changed.length === 0) return seen;
    const found = await this.#database.prisma.cluster.findMany({
      where: { AND: [{ id: { in: changed.map(({ id }) => id) } }, clustersWithAction(caller, action)] },
      select: { id: true },
    });
    const still = new Set(found.map(({ id }) => id));
    return seen.filter((row) => !changed.includes(row) || still.has(row.id));
  }

  async #membersAt(counters: Counters, caller: Caller, action: Action): Promise<VisibleSet> {
    const scopes = scopesOf(caller, action);
    const key = this.#keyOf(scopes);
    if (key === '') return NONE;
    const stepsOfRow = Math.max(1, ...scopes.map(({ steps }) => steps ?? 1));
    return this.#members.get(key, counters.registry, async () =>
      // The rows first: a cluster that changes in between is then known to have changed since.
      this.#membersOf(clustersWithAction(caller, action), await this.#rowsAt(counters).rows, stepsOfRow),
    );
  }

  /** Names a set of scopes; the empty text names the empty set. */
  #keyOf(scopes: readonly { readonly clusters: object }[]): string {
    const nameOf = (scope: object) => {
      const name = this.#names.get(scope) ?? ++this.#named;
      this.#names.set(scope, name);
      return name;
    };
    return scopes
      .map(({ clusters }) => nameOf(clusters))
      .sort()
      .join();
  }

  #rowsAt({ registry, status }: Counters) {
    if (this.#rows?.registry === registry) return this.#rows;
    const rows = this.#readRows();
    const reading = { registry, status, rows };
    this.#rows = reading;
    rows.catch(() => {
      if (this.#rows === reading) this.#rows = undefined;
    });
    return reading;
  }

  /** The numbers of the last changes of state, read once as a whole and then only where they moved. */
  #statusesAt(counters: Counters): Statuses['changes'] {
    const { registry, status } = counters;
    const known = this.#statuses?.registry === registry ? this.#statuses : undefined;
    if (known && known.status >= status) return known.changes;
    const changes = known
      ? this.#addMoved(known.status, known.changes)
      : this.#addMoved(this.#rowsAt(counters).status, this.#statusesOfRows(counters));
    const next = { registry, status, changes };
    this.#statuses = next;
    changes.catch(() => {
      if (this.#statuses === next) this.#statuses = undefined;
    });
    return changes;
  }

  async #statusesOfRows(counters: Counters): Statuses['changes'] {
    return new Map((await this.#rowsAt(counters).rows).map(({ id, statusChange }) => [id, statusChange]));
  }

  async #addMoved(since: number, before: Statuses['changes']): Statuses['changes'] {
    const statuses = new Map(await before);
    const moved = await this.#database.prisma.cluster.findMany({
      where: { statusChange: { gt: since } },
      select: { id: true, statusChange: true },
    });
    for (const { id, statusChange } of moved) statuses.set(id, statusChange);
    return statuses;
  }

  async #readRows(): Promise<readonly Row[]> {
    const rows: Row[] = [];
    for (;;) {
      const part = await this.#database.prisma.cluster.findMany({
        where: { id: { gt: rows.at(-1)?.id ?? 0 } },
        select: { id: true, uid: true, registryChange: true, statusChange: true },
        orderBy: { id: 'asc' },
        take: ROWS_AT_ONCE,
      });
      rows.push(...part);
      if (part.length < ROWS_AT_ONCE) return rows;
    }
  }

  async #membersOf(scopes: Prisma.ClusterWhereInput, rows: readonly Row[], stepsOfRow: number) {
    const members = new Map<number, Row>();
    const size = Math.min(rows.length, Math.max(1, Math.floor(STEPS_AT_ONCE / stepsOfRow)));
    for (let begin = 0; begin < rows.length; begin += size) {
      const part = rows.slice(begin, begin + size);
      const [first, last] = [part[0]?.id ?? 0, part.at(-1)?.id ?? 0];
      const found = await this.#database.prisma.cluster.findMany({
        where: { AND: [{ id: { gte: first, lte: last } }, scopes] },
        select: { id: true },
      });
      const ids = new Set(found.map(({ id }) => id));
      // In the order of the rows, which is that of ids.
      for (const row of part) if (ids.has(row.id)) members.set(row.id, row);
    }
    return members;
  }
}

/** Values that stand for one value of the registry's counter, the newest of them. */
class Kept<Value> {
  #registry = -1;
  #values = new Map<string, Promise<Value>>();

  get(key: string, registry: number, compute: () => Promise<Value>): Promise<Value> {
    if (registry < this.#registry) return compute();
    if (registry > this.#registry) this.#values = new Map();
    this.#registry = registry;
    const known = this.#values.get(key);
    if (known) return known;
    const computing = compute();
    const values = this.#values;
    values.set(key, computing);
    const [oldest] = values.size > MAX_KEPT ? values.keys() : [];
    if (oldest !== undefined) values.delete(oldest);
    computing.catch(() => values.delete(key));
    return computing;
  }
}

// The numbers count what goes on in the whole registry: without the key nobody finds them by trying.
const KEY = randomBytes(32).toString('base64url');

const cursors = new WeakMap<VisibleChanges, string>();

/**
 * The cursor of one who does not see the whole registry. It tells nothing of the rest: what it stands for is only whether
 * the same clusters are visible, and whether nothing of them has changed.
 */
export function writeVisibleCursor(visible: VisibleChanges): string {
  const known = cursors.get(visible);
  if (known !== undefined) return known;
  const uids = [...visible.values()].map(({ uid }) => uid).join();
  const changes = [...visible.values()].map((one) => one.changes).join();
  const cursor = `v.${digest(uids)}.${digest(`${KEY} ${uids} ${changes}`)}`;
  cursors.set(visible, cursor);
  return cursor;
}

/** Clusters that went out of sight, and those that came into it or changed, between two moments. */
export interface VisibleChange {
  readonly gone: readonly { readonly id: number; readonly uid: string }[];
  readonly changed: readonly { readonly id: number; readonly uid: string }[];
}

const differences = new WeakMap<VisibleChanges, { readonly to: VisibleChanges; readonly change: VisibleChange }>();

/** What differs between two moments; the streams that stand at the same two share one comparison. */
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

/** What a cursor says of the clusters that are visible now; undefined for a text that is none of these. */
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
