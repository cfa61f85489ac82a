import { setTimeout as sleep } from 'node:timers/promises';
import type { ChangeNotifier } from '../../storage/change-notifier.ts';
import type { Database } from '../../storage/database.ts';
import { isUnavailable } from '../../storage/database-error.ts';
import { type Caller, limitKeyOf } from '../access/caller.ts';
import type { ClusterQuery } from '../access/clusters.ts';
import { ConcurrencyCounter } from '../access/concurrency-counter.ts';
import { canReadEveryCluster, requireViewer } from '../access/permissions.ts';
import { isVisibleCursor, type VisibleClusters } from '../access/visible-clusters.ts';
import { DomainError, invalidInput } from '../errors.ts';
import { ChangeReader, type ClusterChange, type StreamPosition } from './change-reader.ts';
import { readChangesCursor } from './changes-cursor.ts';
import { type ClusterFilter, whereFilter } from './cluster-list.ts';

const MAX_STREAMS = 50;
/** Milliseconds before a stream retries while the database is unavailable. */
const RETRY_MS = 1_000;

/**
 * Streams of changes. A stream keeps little more than its position: it reads changes from the database when the subscriber
 * is ready for more. So a slow subscriber costs almost no memory, and receives only the last of several changes to a cluster.
 */
export class ClusterChanges {
  readonly #database: Database;
  readonly #changeNotifier: ChangeNotifier;
  readonly #visible: VisibleClusters;
  readonly #streams = new ConcurrencyCounter();

  constructor(options: { database: Database; changeNotifier: ChangeNotifier; visible: VisibleClusters }) {
    this.#database = options.database;
    this.#changeNotifier = options.changeNotifier;
    this.#visible = options.visible;
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
      const services = { database: this.#database, visible: this.#visible };
      const reader = new ChangeReader({ ...services, caller: () => current, where, query });
      let position: StreamPosition | string | undefined = after ?? undefined;
      // Refresh the caller each time: no counter increases when an API key expires, and the clusters in a scope also change
      // with names and labels.
      const isStillAuthenticated = async () => {
        current = await first.refresh();
        return current.viewer !== null;
      };
      while (!signal.aborted) {
        try {
          const { access, registry } = await this.#database.counters();
          if (!(await isStillAuthenticated())) return;
          const readsAll = canReadEveryCluster(current);
          const changes = reader.changesSince(position, counters);
          let step = await changes.next();
          for (; !step.done; step = await changes.next()) {
            // Much time may have passed since the previous change: the subscriber may read slowly.
            if (!(await isStillAuthenticated())) return;
            if (canReadEveryCluster(current) !== readsAll) break;
            const now = await this.#database.counters();
            const mayBeHidden = !readsAll && (now.access !== access || now.registry !== registry);
            if (!mayBeHidden || (await reader.isStillVisible(step.value))) yield step.value;
          }
          // The loop broke off because the caller's permissions changed: read the changes again with the new ones.
          if (!step.done) continue;
          position = step.value;
          // Also wake up when the caller's credential expires, since that increases no counter.
          counters =
            (await this.#changeNotifier.waitForChange(counters, signal, current.viewer?.expiresAt)) ?? counters;
        } catch (error) {
          // An unavailable database does not end the stream: it delivers the missed changes afterwards. A filter that takes too
          // long does end it, because the reader turns that into a domain error.
          if (!isUnavailable(error)) throw error;
          await sleep(RETRY_MS, undefined, { signal, ref: false }).catch(() => {});
        }
      }
    } finally {
      release();
    }
  }
}
