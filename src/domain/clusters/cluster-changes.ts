import { setTimeout as sleep } from 'node:timers/promises';
import type { ChangeNotifier } from '../../storage/change-notifier.ts';
import type { Counters, Database } from '../../storage/database.ts';
import { isUnavailable, tookTooLong } from '../../storage/database-error.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { type Caller, limitKeyOf } from '../access/caller.ts';
import type { ClusterQuery } from '../access/clusters.ts';
import { ConcurrencyCounter } from '../access/concurrency-counter.ts';
import { canReadEveryCluster, hasActionOnSome, requireViewer } from '../access/permissions.ts';
import {
  changeBetween,
  compareVisible,
  isVisibleCursor,
  type VisibleChanges,
  type VisibleClusters,
  type VisibleSet,
  writeVisibleCursor,
} from '../access/visible-clusters.ts';
import { DomainError, domainErrorOf, invalidInput } from '../errors.ts';
import { REMEMBERED_CHANGES } from '../registry-change.ts';
import { type ClusterFilter, whereFilter } from './cluster-list.ts';

/** A change to a cluster, as far as the subscriber may see it. */
export type ClusterChange<Row> =
  | { readonly kind: 'UPSERTED'; readonly cursor: string; readonly cluster: Row }
  | { readonly kind: 'REMOVED'; readonly cursor: string; readonly uid: string; readonly databaseId: number }
  | { readonly kind: 'RESET'; readonly cursor: string };

/** The position of a subscriber: the counters as of the last change that was delivered. */
export type ChangesCursor = Pick<Counters, 'registry' | 'status'>;

/**
 * The position of a stream. For a caller who can read every cluster it is a pair of counters; for any other caller it is the
 * set of clusters that were visible last.
 */
type StreamPosition =
  | { readonly cursor: ChangesCursor; readonly visible?: undefined }
  | { readonly cursor?: undefined; readonly visible: VisibleChanges };

const MAX_STREAMS = 50;
/** If more clusters than this have changed at once, the stream sends RESET and the subscriber lists again. */
const MAX_CHANGES = 1_000;
/** Milliseconds before a stream retries while the database is unavailable. */
const RETRY_MS = 1_000;
/** Most rows that a stream holds in memory, and so the memory cost of a subscriber that has stopped reading. */
const ROWS_AT_ONCE = 50;
/** Maximum length of a cursor in characters: two numbers of 15 digits and a dot are 42 characters in base64url. */
const MAX_CHANGES_CURSOR = 42;
export function writeChangesCursor({ registry, status }: ChangesCursor): string {
  return Buffer.from(`${registry}.${status}`).toString('base64url');
}

/** Returns undefined if the text is not a cursor of `writeChangesCursor`. */
function readChangesCursor(text: string): ChangesCursor | undefined {
  if (text.length > MAX_CHANGES_CURSOR) return undefined;
  const [, registry, status] =
    /^([0-9]{1,15})\.([0-9]{1,15})$/.exec(Buffer.from(text, 'base64url').toString('latin1')) ?? [];
  return registry && status ? { registry: Number(registry), status: Number(status) } : undefined;
}

/**
 * Streams of changes. A stream keeps little more than its position: it reads changes from the database when the subscriber
 * is ready for more. So a slow subscriber costs almost no memory, and receives only the last of several changes to a cluster.
 */
export class ClusterChanges {
  readonly #database: Database;
  readonly #changeNotifier: ChangeNotifier;
  readonly #streams = new ConcurrencyCounter();

  readonly #visible: VisibleClusters;

  constructor({
    database,
    changeNotifier,
    visible,
  }: { database: Database; changeNotifier: ChangeNotifier; visible: VisibleClusters }) {
    this.#database = database;
    this.#visible = visible;
    this.#changeNotifier = changeNotifier;
  }

  /**
   * Yields the changes after a cursor (absent: from now on) until the signal aborts or the caller is no longer
   * authenticated. The caller is authenticated again before each change.
   */
  async *follow(
    first: Caller,
    { filter, after }: { filter?: ClusterFilter | null | undefined; after?: string | null | undefined },
    query: ClusterQuery,
    { signal }: { signal: AbortSignal },
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    const viewer = requireViewer(first);
    const where = whereFilter(filter ?? {});
    if (after != null && !readChangesCursor(after) && !isVisibleCursor(after))
      throw invalidInput([{ path: ['after'], message: 'is not a cursor for changes' }]);
    const limitKey = limitKeyOf(viewer);
    if (this.#streams.of(limitKey) >= MAX_STREAMS)
      throw new DomainError(
        'TOO_MANY_STREAMS',
        `at most ${MAX_STREAMS} streams may be open per caller: close some first`,
      );
    const release = this.#streams.begin(limitKey);
    try {
      let counters = await this.#database.counters();
      let current = first;
      let position: StreamPosition | string | undefined = after ?? undefined;
      // Refresh the caller each time: no counter increases when an API key expires, and the clusters in a scope also change
      // with names and labels.
      const isStillAuthenticated = async () => {
        current = await first.refresh(await this.#database.counters());
        return current.viewer !== null;
      };
      while (!signal.aborted) {
        try {
          const { access, registry } = await this.#database.counters();
          if (!(await isStillAuthenticated())) return;
          const readsAll = canReadEveryCluster(current);
          const changes = this.#changesSince(() => current, position, counters, where, query);
          let step = await changes.next();
          for (; !step.done; step = await changes.next()) {
            // Much time may have passed since the previous change: the subscriber may read slowly.
            if (!(await isStillAuthenticated())) return;
            if (canReadEveryCluster(current) !== readsAll) break;
            const now = await this.#database.counters();
            const mayBeHidden = !readsAll && (now.access !== access || now.registry !== registry);
            if (!mayBeHidden || (await this.#isStillVisible(current, step.value))) yield step.value;
          }
          // The loop broke off because the caller's permissions changed: read the changes again with the new ones.
          if (!step.done) continue;
          position = step.value;
          // Also wake up when the caller's credential expires, since that increases no counter.
          counters =
            (await this.#changeNotifier.waitForChange(counters, signal, current.viewer?.expiresAt)) ?? counters;
        } catch (error) {
          // An unavailable database does not end the stream: it delivers the missed changes afterwards. A filter that takes too
          // long does end it, because `#readChanged` turns that into a domain error.
          if (!isUnavailable(error)) throw error;
          await sleep(RETRY_MS, undefined, { signal, ref: false }).catch(() => {});
        }
      }
    } finally {
      release();
    }
  }

  /**
   * Yields the changes since a position, or since the cursor that the stream starts from, and returns the new position.
   */
  async *#changesSince(
    caller: () => Caller,
    from: StreamPosition | string | undefined,
    counters: Counters,
    where: Prisma.ClusterWhereInput,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>, StreamPosition> {
    const isKnown = typeof from === 'object' && canReadEveryCluster(caller()) === (from.visible === undefined);
    const position = isKnown ? from : yield* this.#startFrom(caller, from, counters, where, query);
    if (position.visible) {
      const visible = await this.#visible.readVisibleChanges(caller());
      yield* this.#changesInVisible(caller, position.visible, visible, where, query);
      return { visible };
    }
    if (counters.registry !== position.cursor.registry || counters.status !== position.cursor.status)
      yield* this.#changesInRegistry(caller, position.cursor, counters, where, query);
    return { cursor: counters };
  }

  /**
   * Finds the position to start from. A cursor is not usable if it was issued while the viewer could see other clusters
   * than now; the stream then sends RESET.
   */
  async *#startFrom(
    caller: () => Caller,
    from: StreamPosition | string | undefined,
    counters: Counters,
    where: Prisma.ClusterWhereInput,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>, StreamPosition> {
    const after = typeof from === 'object' ? cursorOf(from) : from;
    if (canReadEveryCluster(caller())) {
      const start = after === undefined ? counters : readChangesCursor(after);
      if (!start) yield { kind: 'RESET', cursor: writeChangesCursor(counters) };
      return { cursor: start ?? counters };
    }
    const visible = await this.#visible.readVisibleChanges(caller());
    const comparison = after === undefined ? 'SAME' : compareVisible(after, visible);
    if (comparison === 'CHANGED') yield* this.#changesInVisible(caller, new Map(), visible, where, query);
    // A caller without permission to read any cluster gets no RESET for the cursor they sent. But if this stream has delivered
    // clusters before, the subscriber must drop them.
    else if (
      comparison !== 'SAME' &&
      (typeof from === 'object' || hasActionOnSome(requireViewer(caller()), 'clusters.read'))
    )
      yield { kind: 'RESET', cursor: writeVisibleCursor(visible) };
    return { visible };
  }

  /** The changes for a caller with limited scope: clusters that became visible or hidden, or that changed. */
  async *#changesInVisible(
    caller: () => Caller,
    from: VisibleChanges,
    to: VisibleChanges,
    where: Prisma.ClusterWhereInput,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    const { gone, changed } = changeBetween(from, to);
    if (gone.length + changed.length === 0) return;
    const [before, after] = [writeVisibleCursor(from), writeVisibleCursor(to)];
    if (gone.length + changed.length > MAX_CHANGES) return void (yield { kind: 'RESET', cursor: after });
    yield* this.#readInBatches(caller, [...gone, ...changed], { before, after }, where, query, to);
  }

  /** The changes for a caller who can read every cluster. */
  async *#changesInRegistry(
    caller: () => Caller,
    from: ChangesCursor,
    to: Counters,
    where: Prisma.ClusterWhereInput,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    // All changes but the last carry the cursor before them: a subscriber that disconnects in between receives them again,
    // so that each change arrives at least once.
    const [before, after] = [writeChangesCursor(from), writeChangesCursor(to)];
    const isExpired = from.registry < to.registry - REMEMBERED_CHANGES;
    const changed =
      isExpired || from.registry > to.registry || from.status > to.status ? undefined : await this.#findChanged(from);
    if (!changed) return void (yield { kind: 'RESET', cursor: after });
    yield* this.#readInBatches(caller, changed, { before, after }, where, query);
  }

  /** Reads the changed clusters that match the filter, in batches, as the subscriber consumes them. */
  async *#readInBatches(
    caller: () => Caller,
    changed: readonly { readonly id: number; readonly uid: string }[],
    { before, after }: { before: string; after: string },
    where: Prisma.ClusterWhereInput,
    query: ClusterQuery,
    visible?: VisibleSet,
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    for (let begin = 0; begin < changed.length; begin += ROWS_AT_ONCE) {
      const batch = changed.slice(begin, begin + ROWS_AT_ONCE);
      const matching = await this.#readChanged(
        caller(),
        { AND: [{ id: { in: batch.map(({ id }) => id) } }, where] },
        query,
      );
      const readable = visible ? await this.#visible.filterVisible(caller(), matching, visible) : matching;
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
  async #readChanged(caller: Caller, where: Prisma.ClusterWhereInput, query: ClusterQuery) {
    const select = { ...query.select, id: true, registryChange: true } as const;
    try {
      return await this.#database.reads.run(limitKeyOf(requireViewer(caller)), () =>
        this.#database.prisma.cluster.findMany({ select, where }),
      );
    } catch (error) {
      throw tookTooLong(error) ? (domainErrorOf(error) ?? error) : error;
    }
  }

  /**
   * Whether the caller may still receive a change. A cluster that was hidden since it was read is reported as removed
   * next.
   */
  async #isStillVisible(caller: Caller, change: ClusterChange<{ id: number }>): Promise<boolean> {
    if (change.kind !== 'UPSERTED') return true;
    const { id, registryChange } = change.cluster as { id: number; registryChange: number };
    return (
      (await this.#visible.filterVisible(caller, [{ id, registryChange }], await this.#visible.readVisible(caller)))
        .length > 0
    );
  }

  /**
   * The clusters that changed after a cursor, in the order of their changes; undefined if there are more than
   * MAX_CHANGES.
   */
  async #findChanged(from: ChangesCursor): Promise<readonly ChangedCluster[] | undefined> {
    const { prisma } = this.#database;
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
