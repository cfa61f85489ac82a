import { hash, randomBytes } from 'node:crypto';
import type { Counters, Database } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { type Action, allowedClusters, scopesOf } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';

/** A cluster that a viewer may read at one moment: its uid, and the numbers of its last changes. */
interface VisibleCluster {
  readonly uid: string;
  readonly registryChange: number;
  readonly changes: string;
}

/** The clusters that a viewer may read at one moment, by id in ascending order. Callers share it: it never changes. */
export type Visible = ReadonlyMap<number, VisibleCluster>;

/** A cluster's numbers, of whichever caller. */
interface Row {
  readonly id: number;
  readonly uid: string;
  readonly registryChange: number;
  readonly statusChange: number;
}

/** Rows that one statement reads, and clusters that one tests against scopes, each of one requirement: some 10 ms. */
const ROWS_AT_ONCE = 2_500;
const STEPS_AT_ONCE = 25_000;
/** Sets of scopes whose clusters are kept, 2 MB each at 10,000 clusters; another one is computed again. */
const MAX_KEPT = 20;

const NONE: Visible = new Map();

/**
 * The clusters that each set of scopes lets a caller see, computed once for each value of the counters, in parts between
 * which others are answered, and shared by requests, keys and streams.
 */
export class VisibleClusters {
  readonly #database: Pick<Database, 'prisma' | 'counters'>;
  readonly #names = new WeakMap<object, number>();
  #named = 0;
  #rows: { registry: number; status: number; rows: Promise<readonly Row[]> } | undefined;
  #members = new Kept<ReadonlyMap<number, Row>>();
  #visible = new Kept<Visible>();

  constructor(database: Pick<Database, 'prisma' | 'counters'>) {
    this.#database = database;
  }

  /** The clusters for which the caller holds the action by scopes now. */
  async of(caller: Caller, action: Action = 'clusters.read'): Promise<Visible> {
    const counters = await this.#database.counters();
    const scopes = scopesOf(caller, action);
    if (scopes.length === 0) return NONE;
    const key = scopes
      .map((scope) => this.#nameOf(scope.clusters))
      .sort()
      .join();
    return this.#visible.get(`${key} ${counters.status}`, counters.registry, async () => {
      // The rows first: a cluster that changes in between is then known to have changed since.
      const rows = await this.#rowsAt(counters);
      const members = await this.#members.get(key, counters.registry, () =>
        this.#membersOf(allowedClusters(caller, action), rows, Math.max(1, ...scopes.map((scope) => scope.steps ?? 1))),
      );
      const visible = new Map<number, VisibleCluster>();
      for (const { id, statusChange } of rows) {
        const member = members.get(id);
        if (!member) continue;
        const { uid, registryChange } = member;
        visible.set(id, { uid, registryChange, changes: `${registryChange}.${statusChange}` });
      }
      return visible;
    });
  }

  /** Of rows that were read after `visible`, those that the caller may see; a cluster that has changed since is tested again. */
  async keep<R extends { readonly id: number; readonly registryChange: number }>(
    caller: Caller,
    rows: readonly R[],
    visible: Visible,
    action: Action = 'clusters.read',
  ): Promise<R[]> {
    const seen = rows.filter(({ id }) => visible.has(id));
    const changed = seen.filter(({ id, registryChange }) => visible.get(id)?.registryChange !== registryChange);
    if (changed.length === 0) return seen;
    const found = await this.#database.prisma.cluster.findMany({
      where: { AND: [{ id: { in: changed.map(({ id }) => id) } }, allowedClusters(caller, action)] },
      select: { id: true },
    });
    const still = new Set(found.map(({ id }) => id));
    return seen.filter((row) => !changed.includes(row) || still.has(row.id));
  }

  #nameOf(scope: object): number {
    const name = this.#names.get(scope) ?? ++this.#named;
    this.#names.set(scope, name);
    return name;
  }

  #rowsAt({ registry, status }: Counters): Promise<readonly Row[]> {
    if (this.#rows?.registry === registry && this.#rows.status === status) return this.#rows.rows;
    const rows = this.#readRows();
    this.#rows = { registry, status, rows };
    rows.catch(() => {
      if (this.#rows?.rows === rows) this.#rows = undefined;
    });
    return rows;
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
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (let begin = 0; begin < rows.length; begin += size) {
      const [first, last] = [rows[begin]?.id ?? 0, rows[Math.min(begin + size, rows.length) - 1]?.id ?? 0];
      const found = await this.#database.prisma.cluster.findMany({
        where: { AND: [{ id: { gte: first, lte: last } }, scopes] },
        select: { id: true },
      });
      for (const { id } of found) {
        const row = byId.get(id);
        if (row) members.set(id, row);
      }
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

const cursors = new WeakMap<Visible, string>();

/**
 * The cursor of one who does not see the whole registry. It tells nothing of the rest: what it stands for is only whether
 * the same clusters are visible, and whether nothing of them has changed.
 */
export function writeVisibleCursor(visible: Visible): string {
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

const differences = new WeakMap<Visible, { readonly to: Visible; readonly change: VisibleChange }>();

/** What differs between two moments; the streams that stand at the same two share one comparison. */
export function changeBetween(from: Visible, to: Visible): VisibleChange {
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
export function compareVisible(cursor: string, visible: Visible): 'SAME' | 'CHANGED' | 'OTHERS' | undefined {
  const [, uids] = CURSOR.exec(cursor) ?? [];
  if (uids === undefined) return undefined;
  const now = writeVisibleCursor(visible);
  if (now === cursor) return 'SAME';
  return now.startsWith(`v.${uids}.`) ? 'CHANGED' : 'OTHERS';
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}
