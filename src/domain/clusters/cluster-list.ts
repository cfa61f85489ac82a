import type { Database } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { type Caller, limitKeyOf } from '../access/caller.ts';
import { type ClusterBy, type ClusterQuery, whereStored } from '../access/clusters.ts';
import { canReadEveryCluster, requireViewer } from '../access/permissions.ts';
import type { VisibleClusters, VisibleSet } from '../access/visible-clusters.ts';
import type { ClusterState } from '../cluster-status.ts';
import { invalidInput } from '../errors.ts';
import { LabelSyntaxError, MAX_SELECTOR, parseLabelSelector, whereLabels } from '../label-selector.ts';
import { cutPage, type PageArguments } from '../page.ts';
import { canBeName, isStorable, isWithin, MAX_NAME, UNSTORABLE } from '../storable.ts';
import { fold, MAX_SEARCH } from '../text.ts';
import {
  type ClusterOrder,
  type CursorRow,
  cutIds,
  orderPage,
  type Page,
  readPage,
  rowsBeyond,
  whereBehind,
  wherePage,
  writeCursor,
} from './cluster-page.ts';

/** Most uids that one query may ask for. */
export const MAX_UIDS = 100;

export interface ClusterFilter {
  readonly search?: string | null | undefined;
  readonly names?: readonly string[] | null | undefined;
  readonly states?: readonly ClusterState[] | null | undefined;
  readonly enabled?: boolean | null | undefined;
  readonly labelSelector?: string | null | undefined;
  /**
   * Days from now within which the credential or the CA expires; expired ones match too. The result depends on the time
   * of the request.
   */
  readonly credentialExpiresWithinDays?: number | null | undefined;
}

export interface ListArguments extends PageArguments {
  readonly filter?: ClusterFilter | null | undefined;
  readonly orderBy?: ClusterOrder | null | undefined;
}

/**
 * Factor by which the next batch grows if a batch held too few visible rows: at most four batches for 10,000 clusters.
 */
const BATCH_GROWTH = 8;
const MAX_NAMES = 1_000;
const MAX_DAYS = 3_650;
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Reads of the registry. Each one looks up and authorizes in one step: a hidden cluster is treated like a missing one.
 */
export class ClusterList {
  readonly #database: Database;

  readonly #visible: VisibleClusters;

  constructor({ database, visible }: { database: Database; visible: VisibleClusters }) {
    this.#database = database;
    this.#visible = visible;
  }

  /** Returns the cluster; null if it does not exist or the caller may not read it. */
  async find(caller: Caller, by: ClusterBy, query: ClusterQuery) {
    return (await this.#findReadable(caller, whereStored(by), query))[0] ?? null;
  }

  /** Returns the clusters with these uids, in any order. Missing and hidden clusters are omitted. */
  async findMany(caller: Caller, uids: readonly string[], query: ClusterQuery) {
    const where = { uid: { in: uids.filter(canBeName) } };
    return this.#findReadable(caller, where, { select: { ...query.select, uid: true } });
  }

  async findDefault(caller: Caller, query: ClusterQuery) {
    return (await this.#findReadable(caller, { isDefault: true }, query))[0] ?? null;
  }

  /**
   * Returns the matching clusters that the caller may read. `where` must match few rows: they are filtered in memory.
   */
  async #findReadable(caller: Caller, where: Prisma.ClusterWhereInput, { select }: ClusterQuery) {
    const visible = canReadEveryCluster(caller) ? undefined : await this.#visible.readVisible(caller);
    const wanted: ClusterQuery = select ? { select: { ...select, id: true, registryChange: true } } : {};
    const found = await this.#read(caller, ({ cluster }) => cluster.findMany({ ...wanted, where }));
    return visible ? this.#visible.filterVisible(caller, found, visible) : found;
  }

  /**
   * Returns one page of the matching clusters, with the counts over all matching clusters. Set `unlimited` only for the REST
   * lists, and `withChanges` if the `changes` of the page are needed.
   */
  async page(
    caller: Caller,
    args: ListArguments,
    query: ClusterQuery,
    { unlimited, withChanges }: { unlimited: boolean; withChanges: boolean },
  ) {
    requireViewer(caller);
    const order = args.orderBy ?? { field: 'DATABASE_ID', direction: 'ASC' };
    const matching = whereFilter(args.filter ?? {});
    const page = readPage(args, order, { unlimited });
    // Read the change counters before the rows: a change in between is then delivered twice, but never lost.
    const isScoped = !canReadEveryCluster(caller);
    const changes = isScoped && withChanges ? await this.#visible.readVisibleChanges(caller) : undefined;
    const visible = isScoped ? (changes ?? (await this.#visible.readVisible(caller))) : undefined;
    const isById = order.field === 'DATABASE_ID' && isEmpty(matching);
    const cut = visible && isById ? cutIds([...visible.keys()], page) : undefined;
    const conditions = { matching, bounds: wherePage(page) };
    const ids =
      cut?.ids ?? (visible && (await this.#visibleIds(caller, conditions, visible, { page, wanted: page.size + 1 })));
    const found = await this.#read(caller, ({ cluster }) =>
      cluster.findMany({
        select: { ...query.select, id: true, name: true, createdAt: true, registryChange: true },
        where: ids ? { id: { in: ids } } : { AND: [matching, wherePage(page)] },
        orderBy: orderPage(page),
        take: page.size + 1,
      }),
    );
    const readable = visible ? await this.#visible.filterVisible(caller, found, visible) : found;
    const { rows, ...more } = cutPage(readable as (CursorRow & (typeof found)[number])[], page, {
      behind: cut?.hasRowsBehind ?? (await this.#hasRowsBehind(caller, matching, visible, page)),
      // A row that was deleted or hidden since its id was read must not end the list.
      ...(ids ? { more: ids.length > page.size && readable.length > 0 } : {}),
    });
    const states = visible && once(() => this.#visibleStates(caller, matching, visible));
    return {
      edges: rows.map((node) => ({ node, cursor: writeCursor(node, order) })),
      ...more,
      /**
       * The visible clusters with their counters, for a caller who cannot read every cluster: reveals nothing about the
       * others.
       */
      changes,
      totalCount: async () =>
        states ? (await states()).length : this.#read(caller, ({ cluster }) => cluster.count({ where: matching })),
      stateCounts: async () => {
        if (states) return countStates(await states());
        const groups = await this.#read(caller, ({ cluster }) =>
          cluster.groupBy({ by: ['state'], where: matching, _count: true, orderBy: { state: 'asc' } }),
        );
        return groups.map(({ state, _count }) => ({ state: state as ClusterState, count: _count }));
      },
    };
  }

  /**
   * Returns the first `wanted` ids of visible clusters in the direction of the page. Without a filter it reads rows in
   * batches, so that all pages of a list together read each row about once. With a filter it uses one statement.
   */
  async #visibleIds(
    caller: Caller,
    { matching, bounds }: { matching: Prisma.ClusterWhereInput; bounds: Prisma.ClusterWhereInput },
    visible: VisibleSet,
    { page, wanted }: { page: Page; wanted: number },
  ): Promise<number[]> {
    const ids: number[] = [];
    let remaining = rowsBeyond(page);
    for (let limit = isEmpty(matching) ? wanted : Number.POSITIVE_INFINITY; ; limit *= BATCH_GROWTH) {
      const found = await this.#read(caller, ({ cluster }) =>
        cluster.findMany({
          select: { id: true, name: true, createdAt: true },
          where: { AND: [matching, bounds, wherePage(remaining)] },
          orderBy: orderPage(page),
          ...(Number.isFinite(limit) ? { take: limit } : {}),
        }),
      );
      for (const { id } of found) if (visible.has(id)) ids.push(id);
      const last = found.at(-1);
      if (!last || found.length < limit || ids.length >= wanted) return ids.slice(0, wanted);
      remaining = rowsBeyond(page, last);
    }
  }

  async #visibleStates(caller: Caller, where: Prisma.ClusterWhereInput, visible: VisibleSet): Promise<string[]> {
    const found = await this.#read(caller, ({ cluster }) =>
      cluster.findMany({ select: { id: true, state: true }, where }),
    );
    return found.flatMap(({ id, state }) => (visible.has(id) ? [state] : []));
  }

  /** Whether any matching cluster lies behind the cursor at which the page starts. */
  async #hasRowsBehind(
    caller: Caller,
    matching: Prisma.ClusterWhereInput,
    visible: VisibleSet | undefined,
    page: Page,
  ): Promise<boolean> {
    const bounds = whereBehind(page);
    if (!bounds) return false;
    const where = { AND: [matching, bounds] };
    const reversed = { page: { ...page, backward: !page.backward }, wanted: 1 };
    const found = visible
      ? await this.#visibleIds(caller, { matching, bounds }, visible, reversed)
      : await this.#read(caller, ({ cluster }) => cluster.findMany({ select: { id: true }, where, take: 1 }));
    return found.length > 0;
  }

  #read<T>(caller: Caller, read: (prisma: Database['prisma']) => Promise<T>): Promise<T> {
    return this.#database.reads.run(limitKeyOf(requireViewer(caller)), () => read(this.#database.prisma));
  }
}

function isEmpty(filter: Prisma.ClusterWhereInput): boolean {
  return Object.keys(filter).length === 0;
}

/** Computes the value on the first call only. */
function once<T>(compute: () => Promise<T>): () => Promise<T> {
  let value: Promise<T> | undefined;
  return () => {
    value ??= compute();
    return value;
  };
}

function countStates(states: readonly string[]): { state: ClusterState; count: number }[] {
  const groups = Map.groupBy(states, (state) => state);
  return [...groups]
    .map(([state, all]) => ({ state: state as ClusterState, count: all.length }))
    .sort((left, right) => (left.state < right.state ? -1 : 1));
}

/** Translates a caller's filter into a database filter. Throws INVALID_INPUT if the filter is invalid. */
export function whereFilter({
  search,
  names,
  states,
  enabled,
  labelSelector,
  credentialExpiresWithinDays: days,
}: ClusterFilter): Prisma.ClusterWhereInput {
  const issue = (field: string, message: string) => invalidInput([{ path: ['filter', field], message }]);
  // Check lengths first: the other checks scan the whole text.
  if ((search?.length ?? 0) > MAX_SEARCH) throw issue('search', `must be at most ${MAX_SEARCH} characters`);
  if ((names?.length ?? 0) > MAX_NAMES) throw issue('names', `must be at most ${MAX_NAMES} names`);
  if ((labelSelector?.length ?? 0) > MAX_SELECTOR)
    throw issue('labelSelector', `must be at most ${MAX_SELECTOR} characters`);
  if (days != null && (days < 0 || days > MAX_DAYS))
    throw issue('credentialExpiresWithinDays', `must be 0 to ${MAX_DAYS}`);
  if (search != null && !isStorable(search)) throw issue('search', UNSTORABLE);
  // No cluster has a longer name: drop them.
  const possible = names && [...new Set(names)].filter((name) => isWithin(name, MAX_NAME));
  if (possible && !possible.every(isStorable)) throw issue('names', UNSTORABLE);
  const end = days == null ? undefined : new Date(Date.now() + days * DAY_MS);
  try {
    return {
      ...(end ? { OR: [{ credentialExpiresAt: { lt: end } }, { caExpiresAt: { lt: end } }] } : {}),
      ...(search ? { searchText: { contains: fold(search) } } : {}),
      ...(possible ? { name: { in: possible } } : {}),
      ...(states ? { state: { in: [...new Set(states)] } } : {}),
      ...(enabled == null ? {} : { enabled }),
      ...(labelSelector ? whereLabels(parseLabelSelector(labelSelector)) : {}),
    };
  } catch (error) {
    if (error instanceof LabelSyntaxError) throw issue('labelSelector', error.message);
    throw error;
  }
}
