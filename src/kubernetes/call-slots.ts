import { ClusterError } from './cluster-error.ts';
import type { Call, Connection } from './connection.ts';
import type { MemoryHold } from './live-memory.ts';
import type { ApiResponse } from './response-collector.ts';

/** Calls that may run at once for one cluster (docs/architecture.md); those of the prober go beside them. */
const MAX_CALLS_AT_ONCE = 4;

/** What asks a cluster: a connection, or a share of one. */
export type ClusterClient = Pick<Connection, 'server' | 'call'> & {
  /** Takes what is read, where that is limited. */
  readonly memory?: MemoryHold | undefined;
};

interface Slots {
  free: number;
  readonly waiting: Set<() => void>;
}

const givenUp = new ClusterError('CANCELLED', 'asking the cluster was given up');

const slots = new WeakMap<Connection, Slots>();

/**
 * A share of a connection: its calls wait for one of the cluster's slots, so that whoever reads much keeps no probe
 * waiting. `callOf` is asked for each call and may refuse it.
 */
export function limitCalls(
  connection: Connection,
  callOf: () => Call & { signal: AbortSignal },
  memory?: MemoryHold,
): ClusterClient {
  const own = slots.get(connection) ?? { free: MAX_CALLS_AT_ONCE, waiting: new Set() };
  slots.set(connection, own);
  return {
    server: connection.server,
    memory,
    call: async (path: string, more?: Call): Promise<ApiResponse> => {
      const call = callOf();
      await take(own, call.signal);
      try {
        return await connection.call(path, { memory, ...call, ...more });
      } finally {
        release(own);
      }
    },
  };
}

function take(own: Slots, signal: AbortSignal): Promise<void> | undefined {
  if (own.free > 0) {
    own.free--;
    return undefined;
  }
  return new Promise((resolve, reject) => {
    const leave = () => {
      own.waiting.delete(go);
      reject(signal.reason instanceof ClusterError ? signal.reason : givenUp);
    };
    const go = () => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    own.waiting.add(go);
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
  });
}

function release(own: Slots): void {
  const [next] = own.waiting;
  if (!next) {
    own.free++;
    return;
  }
  own.waiting.delete(next);
  next();
}
