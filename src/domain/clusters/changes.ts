import type { Counters, Database } from '../../storage/database.ts';
import type { News } from '../../storage/news.ts';
import { mayReadClusters, readableClusters, signedIn } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { DomainError, invalidInput } from '../errors.ts';
import { type ClusterFilter, type ClusterQuery, whereFilter } from './cluster-list.ts';
import { compareVisible, isVisibleCursor, readVisible, type Visible, writeVisibleCursor } from './visible.ts';

/** A change of a cluster, as its reader may see it. */
export type ClusterChange<Row> =
  | { readonly kind: 'UPSERTED'; readonly cursor: string; readonly cluster: Row }
  | { readonly kind: 'REMOVED'; readonly cursor: string; readonly uid: string; readonly databaseId: number }
  | { readonly kind: 'RESET'; readonly cursor: string };

/** Where a reader stands: the counters of the last change it has been told of. */
export type ChangesCursor = Pick<Counters, 'registry' | 'status'>;

/** How far a stream is: by the counters for one who sees the whole registry, else by what was visible last. */
type Place =
  | { readonly cursor: ChangesCursor; readonly visible?: undefined }
  | { readonly cursor?: undefined; readonly visible: Visible };

const MAX_STREAMS = 50;
/** More changed clusters than this at once are not told one by one: the reader lists again. */
const MAX_CHANGES = 1_000;
/** Deletes are remembered for so many changes of the registry; a cursor from before is too old. */
export const REMEMBERED_CHANGES = 10_000;

export function writeChangesCursor({ registry, status }: ChangesCursor): string {
  return Buffer.from(`${registry}.${status}`).toString('base64url');
}

/** Reads a cursor; undefined for a text that is none. */
export function readChangesCursor(text: string): ChangesCursor | undefined {
  const [, registry, status] =
    /^([0-9]{1,15})\.([0-9]{1,15})$/.exec(Buffer.from(text, 'base64url').toString('latin1')) ?? [];
  return registry && status ? { registry: Number(registry), status: Number(status) } : undefined;
}

/**
 * Streams of changes. A stream remembers where its reader stands and nothing else: what changed is read from the
 * database when the reader is ready for more, so that a slow reader costs no memory and hears the last of several
 * changes.
 */
export class ClusterChanges {
  readonly #database: Database;
  readonly #news: News;
  readonly #streams = new Map<string, number>();

  constructor({ database, news }: { database: Database; news: News }) {
    this.#database = database;
    this.#news = news;
  }

  /**
   * The changes after a cursor (absent: from now on), until the signal ends them or the caller is nobody any more.
   * `caller` is asked anew whenever the access counter moves.
   */
  async *follow(
    first: Caller,
    { filter, after }: { filter?: ClusterFilter | null | undefined; after?: string | null | undefined },
    query: ClusterQuery,
    { signal, caller }: { signal: AbortSignal; caller: (now: Counters) => Promise<Caller> },
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    const viewer = signedIn(first);
    const where = whereFilter(filter ?? {});
    if (after != null && !readChangesCursor(after) && !isVisibleCursor(after))
      throw invalidInput([{ path: ['after'], message: 'is no cursor of changes' }]);
    const open = this.#streams.get(viewer.id) ?? 0;
    if (open >= MAX_STREAMS)
      throw new DomainError(
        'TOO_MANY_STREAMS',
        `at most ${MAX_STREAMS} streams are open for one caller: end some first`,
      );
    this.#streams.set(viewer.id, open + 1);
    try {
      let counters = this.#database.counters();
      let current = first;
      let { access } = counters;
      let place = yield* this.#begin(current, counters, after ?? undefined, where, query);
      while (!signal.aborted) {
        // Whom a scope lets in changes with names and labels too.
        if (counters.access !== access || place.visible) {
          current = await caller(counters);
          if (!current.viewer) return;
          ({ access } = counters);
        }
        if (mayReadClusters(current) === (place.visible !== undefined))
          place = yield* this.#begin(current, counters, cursorOf(place), where, query);
        else if (place.visible) {
          const visible = await readVisible(this.#database, current);
          yield* this.#betweenVisible(current, place.visible, visible, where, query);
          place = { visible };
        } else if (counters.registry !== place.cursor.registry || counters.status !== place.cursor.status) {
          yield* this.#between(current, place.cursor, counters, where, query);
          place = { cursor: counters };
        }
        const next = await this.#news.after(counters, signal);
        if (!next) return;
        counters = next;
      }
    } finally {
      const left = (this.#streams.get(viewer.id) ?? 1) - 1;
      if (left > 0) this.#streams.set(viewer.id, left);
      else this.#streams.delete(viewer.id);
    }
  }

  /** Finds the place to begin at; a cursor from before a viewer saw more or less is none that one can go on from. */
  async *#begin(
    caller: Caller,
    counters: Counters,
    after: string | undefined,
    where: ReturnType<typeof whereFilter>,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>, Place> {
    if (mayReadClusters(caller)) {
      const given = after === undefined ? counters : readChangesCursor(after);
      if (!given) yield { kind: 'RESET', cursor: writeChangesCursor(counters) };
      return { cursor: given ?? counters };
    }
    const visible = await readVisible(this.#database, caller);
    const same = after === undefined ? 'SAME' : compareVisible(after, visible);
    if (same === 'CHANGED') yield* this.#betweenVisible(caller, new Map(), visible, where, query);
    else if (same !== 'SAME') yield { kind: 'RESET', cursor: writeVisibleCursor(visible) };
    return { visible };
  }

  /** What changed for one who does not see the whole registry: which clusters came into sight, went out of it, or changed. */
  async *#betweenVisible(
    caller: Caller,
    from: Visible,
    to: Visible,
    where: ReturnType<typeof whereFilter>,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    const gone = [...from].filter(([id]) => !to.has(id));
    const changed = [...to].filter(([id, { changes }]) => from.get(id)?.changes !== changes);
    if (gone.length + changed.length === 0) return;
    const [before, after] = [writeVisibleCursor(from), writeVisibleCursor(to)];
    if (gone.length + changed.length > MAX_CHANGES) return void (yield { kind: 'RESET', cursor: after });
    const rows = await this.#matching(caller, changed, where, query);
    yield* told(
      [...gone, ...changed].map(([id, { uid }]) => ({ id, uid })),
      rows,
      { before, after },
    );
  }

  async *#between(
    caller: Caller,
    from: ChangesCursor,
    to: Counters,
    where: ReturnType<typeof whereFilter>,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    const { prisma } = this.#database;
    // Whoever breaks off in the middle begins at the start of the batch again: at least once each.
    const [before, after] = [writeChangesCursor(from), writeChangesCursor(to)];
    if (from.registry > to.registry || from.status > to.status || from.registry < to.registry - REMEMBERED_CHANGES)
      return void (yield { kind: 'RESET', cursor: after });
    const changed = await prisma.cluster.findMany({
      where: {
        OR: [{ registryChange: { gt: from.registry } }, { statusChange: { gt: from.status } }],
      },
      select: { id: true, uid: true },
      orderBy: [{ registryChange: 'asc' }, { statusChange: 'asc' }],
      take: MAX_CHANGES + 1,
    });
    const gone =
      from.registry === to.registry || changed.length > MAX_CHANGES
        ? []
        : await prisma.clusterTombstone.findMany({
            where: { registryChange: { gt: from.registry } },
            orderBy: { registryChange: 'asc' },
            take: MAX_CHANGES + 1,
          });
    if (changed.length + gone.length > MAX_CHANGES) return void (yield { kind: 'RESET', cursor: after });
    const rows = await this.#matching(
      caller,
      changed.map(({ id }) => [id]),
      where,
      query,
    );
    const all = [...gone.map(({ clusterId, uid }) => ({ id: clusterId, uid })), ...changed];
    yield* told(all, rows, { before, after });
  }

  /** Those of the changed clusters that the reader wants to hear of, by id. */
  async #matching(
    caller: Caller,
    changed: readonly (readonly [id: number, ...unknown[]])[],
    where: ReturnType<typeof whereFilter>,
    query: ClusterQuery,
  ): Promise<ReadonlyMap<number, { id: number }>> {
    const rows = await this.#database.prisma.cluster.findMany({
      select: { ...query.select, id: true },
      where: { AND: [where, readableClusters(caller)], id: { in: changed.map(([id]) => id) } },
    });
    return new Map(rows.map((row) => [row.id, row]));
  }
}

function* told(
  clusters: readonly { id: number; uid: string }[],
  rows: ReadonlyMap<number, { id: number }>,
  { before, after }: { before: string; after: string },
): Generator<ClusterChange<{ id: number }>> {
  for (const [index, { id, uid }] of clusters.entries()) {
    const cursor = index === clusters.length - 1 ? after : before;
    const cluster = rows.get(id);
    if (cluster) yield { kind: 'UPSERTED', cursor, cluster };
    else yield { kind: 'REMOVED', cursor, uid, databaseId: id };
  }
}

function cursorOf({ cursor, visible }: Place): string {
  return visible ? writeVisibleCursor(visible) : writeChangesCursor(cursor);
}
