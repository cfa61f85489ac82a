import { ClusterError } from '../cluster-error.ts';
import type { Call } from './call.ts';
import type { Connection } from './connection.ts';
import type { MemoryHold } from './live-memory.ts';
import type { ApiResponse } from './response-collector.ts';

/** Maximum concurrent calls to one cluster (docs/architecture.md). Probes are not counted. */
const MAX_CALLS_AT_ONCE = 4;

/** Calls a cluster: a `Connection`, or a client that `limitCalls` returns. */
export type ClusterClient = Pick<Connection, 'server' | 'call' | 'statusError'> & {
  /** Charged with the bytes that are read, if reads are limited. */
  readonly memory?: MemoryHold | undefined;
};

interface Slots {
  free: number;
  readonly waiting: Set<() => void>;
}

const cancelled = new ClusterError('CANCELLED', 'the call to the cluster was cancelled');

const slots = new WeakMap<Connection, Slots>();

/**
 * Returns a client that limits concurrent calls to the cluster, so that many live reads do not delay probes. A call
 * without a free slot waits. `callOf` returns the options of each call; it may throw to reject the call.
 */
export function limitCalls(
  connection: Connection,
  callOf: () => Call & { signal: AbortSignal },
  memory?: MemoryHold,
): ClusterClient {
  const clusterSlots = slots.get(connection) ?? { free: MAX_CALLS_AT_ONCE, waiting: new Set() };
  slots.set(connection, clusterSlots);
  return {
    server: connection.server,
    memory,
    statusError: (status) => connection.statusError(status),
    call: async (path: string, options?: Call): Promise<ApiResponse> => {
      const call = callOf();
      await acquire(clusterSlots, call.signal);
      try {
        return await connection.call(path, { memory, ...call, ...options });
      } finally {
        release(clusterSlots);
      }
    },
  };
}

function acquire(clusterSlots: Slots, signal: AbortSignal): Promise<void> | undefined {
  if (clusterSlots.free > 0) {
    clusterSlots.free--;
    return undefined;
  }
  return new Promise((resolve, reject) => {
    const cancelWait = () => {
      clusterSlots.waiting.delete(proceed);
      reject(signal.reason instanceof ClusterError ? signal.reason : cancelled);
    };
    const proceed = () => {
      signal.removeEventListener('abort', cancelWait);
      resolve();
    };
    clusterSlots.waiting.add(proceed);
    if (signal.aborted) cancelWait();
    else signal.addEventListener('abort', cancelWait, { once: true });
  });
}

function release(clusterSlots: Slots): void {
  const [next] = clusterSlots.waiting;
  if (!next) {
    clusterSlots.free++;
    return;
  }
  clusterSlots.waiting.delete(next);
  next();
}
