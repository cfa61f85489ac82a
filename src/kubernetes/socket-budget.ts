import { ResourceError } from './cluster-error.ts';

/** A connection whose open sockets may be closed while no call runs on it. */
export interface IdleConnection {
  /** Tells whether it had any. */
  closeSockets(): boolean;
}

/** The sockets that all clusters together may have open. At the limit the connection that is idle longest gives up its own. */
export class SocketBudget {
  readonly #limit: number;
  /** In the order in which they became idle. */
  readonly #idle = new Set<IdleConnection>();
  #open = 0;

  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  /** Sockets that are open or being opened. */
  get open(): number {
    return this.#open;
  }

  /** Takes a socket; the function gives it back. Throws a ResourceError when all of them are in use. */
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

  /** Tells that no call runs on a connection, or that one does. */
  setIdle(connection: IdleConnection, isIdle: boolean): void {
    this.#idle.delete(connection);
    if (isIdle) this.#idle.add(connection);
  }

  /** The sockets close in their own time: until then the count may be above the limit by as many. */
  #closeIdle(): boolean {
    for (const connection of this.#idle) {
      this.#idle.delete(connection);
      if (connection.closeSockets()) return true;
    }
    return false;
  }
}
