import type { Counters, Database } from '../../storage/database.ts';
import { tookTooLong } from '../../storage/database-error.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { type Caller, limitKeyOf } from '../access/caller.ts';
import type { ClusterQuery } from '../access/clusters.ts';
import { canReadEveryCluster, hasActionOnSome, requireViewer } from '../access/permissions.ts';
import {
  changeBetween,
  compareVisible,
  type VisibleChanges,
  type VisibleClusters,
  type VisibleSet,
  writeVisibleCursor,
} from '../access/visible-clusters.ts';
import { domainErrorOf } from '../errors.ts';
import { REMEMBERED_CHANGES } from '../registry-change.ts';
import { type ChangesCursor, readChangesCursor, writeChangesCursor } from './changes-cursor.ts';

/** A change to a cluster, as far as the subscriber may see it. */
export type ClusterChange<Row> =
  | { readonly kind: 'UPSERTED'; readonly cursor: string; readonly cluster: Row }
  | { readonly kind: 'REMOVED'; readonly cursor: string; readonly uid: string; readonly databaseId: number }
  | { readonly kind: 'RESET'; readonly cursor: string };

type Change = ClusterChange<{ id: number }>;

/**
 * The position of a stream. For a caller who can read every cluster it is a pair of counters; for any other caller it is the
 * set of clusters that were visible last.
 */
export type StreamPosition =
  | { readonly cursor: ChangesCursor; readonly visible?: undefined }
  | { readonly cursor?: undefined; readonly visible: VisibleChanges };

/** If more clusters than this have changed at once, the stream sends RESET and the subscriber lists again. */
const MAX_CHANGES = 1_000;
/** Most rows that a stream holds in memory, and so the memory cost of a subscriber that has stopped reading. */
const ROWS_AT_ONCE = 50;

interface ReaderOptions {
  readonly database: Database;
  readonly visible: VisibleClusters;
  /** Returns the caller with current permissions. */
  readonly caller: () => Caller;
  readonly where: Prisma.ClusterWhereInput;
  readonly query: ClusterQuery;
}

/** Reads the changes of one stream from the database. */
export class ChangeReader {
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  get #caller(): Caller {
    return this.#options.caller();
  }

  /**
   * Yields the changes since a position, or since the cursor that the stream starts from, and returns the new position.
   */
  async *changesSince(
    from: StreamPosition | string | undefined,
    counters: Counters,
  ): AsyncGenerator<Change, StreamPosition> {
    const isKnown = typeof from === 'object' && canReadEveryCluster(this.#caller) === (from.visible === undefined);
    const position = isKnown ? from : yield* this.#startFrom(from, counters);
    if (position.visible) {
      const visible = await this.#options.visible.readVisibleChanges(this.#caller);
      yield* this.#changesInVisible(position.visible, visible);
      return { visible };
    }
    if (counters.registry !== position.cursor.registry || counters.status !== position.cursor.status)
      yield* this.#changesInRegistry(position.cursor, counters);
    return { cursor: counters };
  }

  /**
   * Whether the caller may still receive a change. A cluster that was hidden since it was read is reported as removed
   * next.
   */
  async isStillVisible(change: Change): Promise<boolean> {
    if (change.kind !== 'UPSERTED') return true;
    const { id, registryChange } = change.cluster as { id: number; registryChange: number };
    const allowed = await this.#options.visible.readVisible(this.#caller);
    return (await this.#options.visible.filterVisible(this.#caller, [{ id, registryChange }], allowed)).length > 0;
  }

  /**
   * Finds the position to start from. A cursor is not usable if it was issued while the viewer could see other clusters
   * than now; the stream then sends RESET.
   */
  async *#startFrom(
    from: StreamPosition | string | undefined,
    counters: Counters,
  ): AsyncGenerator<Change, StreamPosition> {
    const after = typeof from === 'object' ? cursorOf(from) : from;
    if (canReadEveryCluster(this.#caller)) {
      const start = after === undefined ? counters : readChangesCursor(after);
      if (!start) yield { kind: 'RESET', cursor: writeChangesCursor(counters) };
      return { cursor: start ?? counters };
    }
    const visible = await this.#options.visible.readVisibleChanges(this.#caller);
    const comparison = after === undefined ? 'SAME' : compareVisible(after, visible);
    if (comparison === 'CHANGED') yield* this.#changesInVisible(new Map(), visible);
    // A caller without permission to read any cluster gets no RESET for the cursor they sent. But if this stream has delivered
    // clusters before, the subscriber must drop them.
    else if (
      comparison !== 'SAME' &&
      (typeof from === 'object' || hasActionOnSome(requireViewer(this.#caller), 'clusters.read'))
    )
      yield { kind: 'RESET', cursor: writeVisibleCursor(visible) };
    return { visible };
  }

  /** The changes for a caller with limited scope: clusters that became visible or hidden, or that changed. */
  async *#changesInVisible(from: VisibleChanges, to: VisibleChanges): AsyncGenerator<Change> {
    const { gone, changed } = changeBetween(from, to);
    if (gone.length + changed.length === 0) return;
    const [before, after] = [writeVisibleCursor(from), writeVisibleCursor(to)];
    if (gone.length + changed.length > MAX_CHANGES) return void (yield { kind: 'RESET', cursor: after });
    yield* this.#readInBatches([...gone, ...changed], { before, after }, to);
  }

  /** The changes for a caller who can read every cluster. */
  async *#changesInRegistry(from: ChangesCursor, to: Counters): AsyncGenerator<Change> {
    // All changes but the last carry the cursor before them: a subscriber that disconnects in between receives them again,
    // so that each change arrives at least once.
    const [before, after] = [writeChangesCursor(from), writeChangesCursor(to)];
    const isExpired = from.registry < to.registry - REMEMBERED_CHANGES;
    const changed =
      isExpired || from.registry > to.registry || from.status > to.status ? undefined : await this.#findChanged(from);
    if (!changed) return void (yield { kind: 'RESET', cursor: after });
    yield* this.#readInBatches(changed, { before, after });
  }

  /** Reads the changed clusters that match the filter, in batches, as the subscriber consumes them. */
  async *#readInBatches(
    changed: readonly { readonly id: number; readonly uid: string }[],
    { before, after }: { before: string; after: string },
    visible?: VisibleSet,
  ): AsyncGenerator<Change> {
    for (let begin = 0; begin < changed.length; begin += ROWS_AT_ONCE) {
      const batch = changed.slice(begin, begin + ROWS_AT_ONCE);
      const matching = await this.#read(batch.map(({ id }) => id));
      const readable = visible ? await this.#options.visible.filterVisible(this.#caller, matching, visible) : matching;
      const rows = new Map(readable.map((row) => [row.id, row]));
      for (const [index, { id, uid }] of batch.entries()) {
        const cursor = begin + index === changed.length - 1 ? after : before;
        const cluster = rows.get(id);
        if (cluster) yield { kind: 'UPSERTED', cursor, cluster };
        else yield { kind: 'REMOVED', cursor, uid, databaseId: id };
      }
    }
  }

  /**
   * Reads within the caller's share of concurrent reads. Throws UNAVAILABLE if the statement times out: a retry would time
   * out again.
   */
  async #read(ids: number[]) {
    const { database, where, query } = this.#options;
    const select = { ...query.select, id: true, registryChange: true } as const;
    try {
      return await database.reads.run(limitKeyOf(requireViewer(this.#caller)), () =>
        database.prisma.cluster.findMany({ select, where: { AND: [{ id: { in: ids } }, where] } }),
      );
    } catch (error) {
      throw tookTooLong(error) ? (domainErrorOf(error) ?? error) : error;
    }
  }

  /**
   * The clusters that changed after a cursor, in the order of their changes; undefined if there are more than
   * MAX_CHANGES.
   */
  async #findChanged(from: ChangesCursor): Promise<readonly ChangedCluster[] | undefined> {
    const { prisma } = this.#options.database;
    const registryChange = { gt: from.registry };
    const existing = await prisma.cluster.findMany({
      where: { OR: [{ registryChange }, { statusChange: { gt: from.status } }] },
      select: { id: true, uid: true, registryChange: true, statusChange: true },
      take: MAX_CHANGES + 1,
    });
    const gone = await prisma.clusterTombstone.findMany({ where: { registryChange }, take: MAX_CHANGES + 1 });
    if (existing.length + gone.length > MAX_CHANGES) return undefined;
    const deleted = gone.map(({ clusterId, ...tombstone }) => ({ id: clusterId, ...tombstone, statusChange: 0 }));
    // The two counters do not show whether a registry change or a status change came first: registry changes go first.
    const isRegistryChange = (change: ChangedCluster) => change.registryChange > from.registry;
    const [registryChanges, statusChanges] = [
      [...deleted, ...existing].filter(isRegistryChange),
      existing.filter((row) => !isRegistryChange(row)),
    ];
    return [
      ...registryChanges.sort((left, right) => left.registryChange - right.registryChange),
      ...statusChanges.sort((left, right) => left.statusChange - right.statusChange),
    ];
  }
}

interface ChangedCluster {
  readonly id: number;
  readonly uid: string;
  readonly registryChange: number;
  readonly statusChange: number;
}

function cursorOf({ cursor, visible }: StreamPosition): string {
  return visible ? writeVisibleCursor(visible) : writeChangesCursor(cursor);
}
