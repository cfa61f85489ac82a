import { setTimeout as sleep } from 'node:timers/promises';
import type { ChangeNotifier } from '../../storage/change-notifier.ts';
import type { Counters, Database } from '../../storage/database.ts';
import { isUnavailable, tookTooLong } from '../../storage/database-error.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { ConcurrencyCounter } from '../access/concurrency-counter.ts';
import { canReadEveryCluster, hasActionOnSome, requireViewer } from '../access/permissions.ts';
import { type Caller, limitKeyOf } from '../access/viewer.ts';
import { DomainError, domainErrorOf, invalidInput } from '../errors.ts';
import { type ClusterFilter, type ClusterQuery, whereFilter } from './cluster-list.ts';
import {
  changeBetween,
  compareVisible,
  isVisibleCursor,
  type VisibleChanges,
  type VisibleClusters,
  type VisibleSet,
  writeVisibleCursor,
} from './visible-clusters.ts';

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
  | { readonly cursor?: undefined; readonly visible: VisibleChanges };

const MAX_STREAMS = 50;
/** More changed clusters than this at once are not told one by one: the reader lists again. */
const MAX_CHANGES = 1_000;
/** How long a stream waits for a database that is away before it looks again. */
const AWAY_MS = 1_000;
/** Rows that a stream holds at once: what a reader who stands still costs. */
const ROWS_AT_ONCE = 50;
/** Characters of a cursor: two numbers of 15 digits and a point have 42 in base64. */
const MAX_CHANGES_CURSOR = 42;
/** Deletes are remembered for so many changes of the registry; a cursor from before is too old. */
export const REMEMBERED_CHANGES = 100_000;

/** Writes a cursor as readers get it: opaque to them. */
export function writeChangesCursor({ registry, status }: ChangesCursor): string {
  return Buffer.from(`${registry}.${status}`).toString('base64url');
}

/** Reads a cursor; undefined for a text that is none. */
function readChangesCursor(text: string): ChangesCursor | undefined {
  if (text.length > MAX_CHANGES_CURSOR) return undefined;
  const [, registry, status] =
    /^([0-9]{1,15})\.([0-9]{1,15})$/.exec(Buffer.from(text, 'base64url').toString('latin1')) ?? [];
  return registry && status ? { registry: Number(registry), status: Number(status) } : undefined;
}

/**
 * Streams of changes. A stream remembers where its reader stands and little else: what changed is read from the
 * database when the reader is ready for more, so that a slow reader costs next to no memory and hears the last of several
 * changes.
 */
export class ClusterChanges {
  readonly #database: Database;
  readonly #news: ChangeNotifier;
  readonly #streams = new ConcurrencyCounter();

  readonly #visible: VisibleClusters;

  constructor({ database, news, visible }: { database: Database; news: ChangeNotifier; visible: VisibleClusters }) {
    this.#database = database;
    this.#visible = visible;
    this.#news = news;
  }

  /**
   * The changes after a cursor (absent: from now on), until the signal ends them or the caller is nobody any more.
   * `caller` is asked anew before each change.
   */
  async *follow(
    first: Caller,
    { filter, after }: { filter?: ClusterFilter | null | undefined; after?: string | null | undefined },
    query: ClusterQuery,
    { signal, caller }: { signal: AbortSignal; caller: (now: Counters) => Promise<Caller> },
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    const viewer = requireViewer(first);
    const where = whereFilter(filter ?? {});
    if (after != null && !readChangesCursor(after) && !isVisibleCursor(after))
      throw invalidInput([{ path: ['after'], message: 'is no cursor of changes' }]);
    const who = limitKeyOf(viewer);
    if (this.#streams.of(who) >= MAX_STREAMS)
      throw new DomainError(
        'TOO_MANY_STREAMS',
        `at most ${MAX_STREAMS} streams are open for one caller: end some first`,
      );
    const end = this.#streams.begin(who);
    try {
      let counters = await this.#database.counters();
      let current = first;
      let place: Place | string | undefined = after ?? undefined;
      // Asked each time: a key that expires moves no counter, and whom a scope lets in changes with names and labels too.
      const isStillThere = async () => {
        current = await caller(await this.#database.counters());
        return current.viewer !== null;
      };
      while (!signal.aborted) {
        try {
          const { access, registry } = await this.#database.counters();
          if (!(await isStillThere())) return;
          const seesAll = canReadEveryCluster(current);
          const changes = this.#onward(() => current, place, counters, where, query);
          let step = await changes.next();
          for (; !step.done; step = await changes.next()) {
            // The reader may have taken its time since the change before.
            if (!(await isStillThere())) return;
            if (canReadEveryCluster(current) !== seesAll) break;
            const now = await this.#database.counters();
            const mayHaveGone = !seesAll && (now.access !== access || now.registry !== registry);
            if (!mayHaveGone || (await this.#mayHear(current, step.value))) yield step.value;
          }
          // Broken off: what is seen is begun anew.
          if (!step.done) continue;
          place = step.value;
          // What somebody came with may end by its time, of which no counter tells.
          counters = (await this.#news.after(counters, signal, current.viewer?.expiresAt)) ?? counters;
        } catch (error) {
          // A database that is away ends no stream: the reader hears afterwards what it missed. A filter that takes too
          // long does (`#readChanged`): it is a domain error.
          if (!isUnavailable(error)) throw error;
          await sleep(AWAY_MS, undefined, { signal, ref: false }).catch(() => {});
        }
      }
    } finally {
      end();
    }
  }

  /** Tells what changed since a place, or since the cursor to begin at, and gives the place after it. */
  async *#onward(
    caller: () => Caller,
    from: Place | string | undefined,
    counters: Counters,
    where: Prisma.ClusterWhereInput,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>, Place> {
    const isKnown = typeof from === 'object' && canReadEveryCluster(caller()) === (from.visible === undefined);
    const place = isKnown ? from : yield* this.#begin(caller, from, counters, where, query);
    if (place.visible) {
      const visible = await this.#visible.withChanges(caller());
      yield* this.#betweenVisible(caller, place.visible, visible, where, query);
      return { visible };
    }
    if (counters.registry !== place.cursor.registry || counters.status !== place.cursor.status)
      yield* this.#between(caller, place.cursor, counters, where, query);
    return { cursor: counters };
  }

  /** Finds the place to begin at; a cursor from before a viewer saw more or less is none that one can go on from. */
  async *#begin(
    caller: () => Caller,
    from: Place | string | undefined,
    counters: Counters,
    where: Prisma.ClusterWhereInput,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>, Place> {
    const after = typeof from === 'object' ? cursorOf(from) : from;
    if (canReadEveryCluster(caller())) {
      const given = after === undefined ? counters : readChangesCursor(after);
      if (!given) yield { kind: 'RESET', cursor: writeChangesCursor(counters) };
      return { cursor: given ?? counters };
    }
    const visible = await this.#visible.withChanges(caller());
    const same = after === undefined ? 'SAME' : compareVisible(after, visible);
    if (same === 'CHANGED') yield* this.#betweenVisible(caller, new Map(), visible, where, query);
    // Who may read nothing is told nothing of a cursor they bring; who could until now has something to forget.
    else if (same !== 'SAME' && (typeof from === 'object' || hasActionOnSome(requireViewer(caller()), 'clusters.read')))
      yield { kind: 'RESET', cursor: writeVisibleCursor(visible) };
    return { visible };
  }

  /** What changed for one who does not see the whole registry: which clusters came into sight, went out of it, or changed. */
  async *#betweenVisible(
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
    yield* this.#told(caller, [...gone, ...changed], { before, after }, where, query, to);
  }

  async *#between(
    caller: () => Caller,
    from: ChangesCursor,
    to: Counters,
    where: Prisma.ClusterWhereInput,
    query: ClusterQuery,
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    // Whoever breaks off in the middle begins at the start of the batch again: at least once each.
    const [before, after] = [writeChangesCursor(from), writeChangesCursor(to)];
    const isTooOld = from.registry < to.registry - REMEMBERED_CHANGES;
    const changed =
      isTooOld || from.registry > to.registry || from.status > to.status ? undefined : await this.#changed(from);
    if (!changed) return void (yield { kind: 'RESET', cursor: after });
    yield* this.#told(caller, changed, { before, after }, where, query);
  }

  /** Reads the changed clusters that the reader wants to hear of part by part, as they are told. */
  async *#told(
    caller: () => Caller,
    changed: readonly { readonly id: number; readonly uid: string }[],
    { before, after }: { before: string; after: string },
    where: Prisma.ClusterWhereInput,
    query: ClusterQuery,
    visible?: VisibleSet,
  ): AsyncGenerator<ClusterChange<{ id: number }>> {
    for (let begin = 0; begin < changed.length; begin += ROWS_AT_ONCE) {
      const part = changed.slice(begin, begin + ROWS_AT_ONCE);
      const matching = await this.#readChanged(
        caller(),
        { AND: [{ id: { in: part.map(({ id }) => id) } }, where] },
        query,
      );
      const readable = visible ? await this.#visible.filterVisible(caller(), matching, visible) : matching;
      const rows = new Map(readable.map((row) => [row.id, row]));
      for (const [index, { id, uid }] of part.entries()) {
        const cursor = begin + index === changed.length - 1 ? after : before;
        const cluster = rows.get(id);
        if (cluster) yield { kind: 'UPSERTED', cursor, cluster };
        else yield { kind: 'REMOVED', cursor, uid, databaseId: id };
      }
    }
  }

  /** Reads in the caller's share; UNAVAILABLE where the database stops the statement, which would happen again every time. */
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

  /** Whether a change may be told still; a cluster that has gone out of sight since it was read is told of as removed next. */
  async #mayHear(caller: Caller, change: ClusterChange<{ id: number }>): Promise<boolean> {
    if (change.kind !== 'UPSERTED') return true;
    const { id, registryChange } = change.cluster as { id: number; registryChange: number };
    return (
      (await this.#visible.filterVisible(caller, [{ id, registryChange }], await this.#visible.readVisible(caller)))
        .length > 0
    );
  }

  /** Which clusters changed after a cursor, in the order of their changes; undefined when they are too many. */
  async #changed(from: ChangesCursor): Promise<readonly Changed[] | undefined> {
    const { prisma } = this.#database;
    const registryChange = { gt: from.registry };
    const standing = await prisma.cluster.findMany({
      where: { OR: [{ registryChange }, { statusChange: { gt: from.status } }] },
      select: { id: true, uid: true, registryChange: true, statusChange: true },
      take: MAX_CHANGES + 1,
    });
    const gone = await prisma.clusterTombstone.findMany({ where: { registryChange }, take: MAX_CHANGES + 1 });
    if (standing.length + gone.length > MAX_CHANGES) return undefined;
    const deleted = gone.map(({ clusterId, ...tombstone }) => ({ id: clusterId, ...tombstone, statusChange: 0 }));
    // The two counters do not tell which of a change of the registry and a change of state came first.
    const isOfRegistry = (change: Changed) => change.registryChange > from.registry;
    const [ofRegistry, ofState] = [
      [...deleted, ...standing].filter(isOfRegistry),
      standing.filter((row) => !isOfRegistry(row)),
    ];
    return [
      ...ofRegistry.sort((left, right) => left.registryChange - right.registryChange),
      ...ofState.sort((left, right) => left.statusChange - right.statusChange),
    ];
  }
}

interface Changed {
  readonly id: number;
  readonly uid: string;
  readonly registryChange: number;
  readonly statusChange: number;
}

function cursorOf({ cursor, visible }: Place): string {
  return visible ? writeVisibleCursor(visible) : writeChangesCursor(cursor);
}
