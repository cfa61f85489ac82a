import { ResourceError } from '../cluster-error.ts';

/** A connection that can close its open sockets while no call runs on it. */
export interface IdleConnection {
  /** Closes all open sockets; returns whether there were any. */
  closeSockets(): boolean;
}

/**
 * Limits the open sockets to all clusters. At the limit, it closes the
 * sockets of the connection that has been idle longest.
 */
export class SocketBudget {
  readonly #limit: number;
  /** The connection that has been idle longest comes first. */
  readonly #idle = new Set<IdleConnection>();
  #open = 0;

  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  /** Number of sockets that are open or being opened. */
  get open(): number {
    return this.#open;
  }

  /** Reserves a socket; the returned function releases it. Throws a ResourceError if all sockets are in use. */
  take(): () => void {
    if (this.#open >= this.#limit && !this.#closeIdle())
      throw new ResourceError(`all ${this.#limit} connections to clusters are in use`);
    this.#open += 1;
    let isOpen = true;
    return () => {
      if (isOpen) this.#open -= 1;
      isOpen = false;
    };
  }

  /** Records whether a connection is idle, that is, no call runs on it. */
  setIdle(connection: IdleConnection, isIdle: boolean): void {
    this.#idle.delete(connection);
    if (isIdle) this.#idle.add(connection);
  }

  /** The sockets close asynchronously: until then, the count of open sockets may exceed the limit. */
  #closeIdle(): boolean {
    for (const connection of this.#idle) {
      this.#idle.delete(connection);
      if (connection.closeSockets()) return true;
    }
    return false;
  }
}
