import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ConcurrencyCounter } from '../domain/access/concurrency-counter.ts';
import { networkOf } from '../ip-address.ts';

/** Limits on the number of connections, and on how long a connection may be idle or make no progress. */
export interface ConnectionLimits {
  readonly connections: number;
  /**
   * Maximum concurrent connections, and concurrent requests forwarded by trusted proxies, per client address (IPv6: per
   * /64).
   */
  readonly perAddress: number;
  /**
   * Maximum requests that a connection may queue with HTTP pipelining. A connection that queues more is closed, and
   * counts against its address for another `stallMs`.
   */
  readonly pipelined: number;
  /** A connection with unsent bytes is closed if it makes no progress for one to two times this long. */
  readonly stallMs: number;
  /** How long a connection is kept open between two requests. */
  readonly keepAliveMs: number;
}

/** Maximum connections in total, if the limit of open files allows that many, and per address. */
const MAX_CONNECTIONS = 4_096;
const MAX_PER_ADDRESS = 1_024;

/**
 * Derives the limit per address from the total: a quarter, at most 1,024, so that one address cannot lock out the
 * others.
 */
export function connectionShares(connections: number): Pick<ConnectionLimits, 'connections' | 'perAddress'> {
  return { connections, perAddress: Math.min(MAX_PER_ADDRESS, Math.floor(connections / 4)) };
}

export const CONNECTION_LIMITS: Omit<ConnectionLimits, 'keepAliveMs'> = {
  ...connectionShares(MAX_CONNECTIONS),
  // Browsers and proxies do not pipeline. Each queued request may occupy 16 KiB for its head.
  pipelined: 8,
  // Connections are closed after 15 to 30 s without progress.
  stallMs: 15_000,
};

type RequestAndResponse = readonly [request: IncomingMessage, response: ServerResponse];

interface Connection {
  /** Whether a request is being handled. */
  isBusy: boolean;
  readonly waiting: RequestAndResponse[];
  /** Whether it was closed because it queued too many requests. */
  isFlood: boolean;
}

/**
 * Limits the connections of a server: a maximum per client address, one request at a time per connection, and a
 * timeout for clients that do not read. `isTrusted` returns whether an address is a trusted proxy; proxies are exempt
 * from the limit per address, because they forward the requests of many clients.
 */
export class ConnectionGuard {
  readonly #limits: ConnectionLimits;
  readonly #isTrusted: (address: string | undefined) => boolean;
  readonly #byAddress = new ConcurrencyCounter();
  readonly #connections = new WeakMap<Socket, Connection>();

  constructor(limits: ConnectionLimits, isTrusted: (address: string | undefined) => boolean) {
    this.#limits = limits;
    this.#isTrusted = isTrusted;
  }

  guard(server: Server): void {
    server.maxConnections = this.#limits.connections;
    server.keepAliveTimeout = this.#limits.keepAliveMs;
    server.on('connection', (socket) => this.#accept(socket));
    // Node calls this after `stallMs` without a byte read from or written to the socket.
    server.setTimeout(this.#limits.stallMs, (socket) => {
      const isIdle = this.#connections.get(socket)?.isBusy !== true;
      // A request that is still being received or handled has its own deadlines.
      if (isIdle || socket.writableLength > 0) socket.destroy();
    });
  }

  /** Handles a request after all earlier requests of its connection. */
  take(request: IncomingMessage, response: ServerResponse, handle: (...exchange: RequestAndResponse) => void): void {
    const { socket } = request;
    const connection = this.#connections.get(socket);
    if (!connection || socket.destroyed) return;
    if (connection.isBusy) {
      connection.waiting.push([request, response]);
      if (connection.waiting.length <= this.#limits.pipelined) return;
      connection.isFlood = true;
      socket.destroy();
      return;
    }
    connection.isBusy = true;
    response.once('close', () => {
      connection.isBusy = false;
      const next = connection.waiting.shift();
      if (next) this.take(...next, handle);
    });
    handle(request, response);
  }

  /**
   * Counts a forwarded request against the client address that a trusted proxy reports, until its response is closed.
   * Returns false if the limit is reached. Direct clients are limited by their connections instead, so always true.
   */
  admit({ socket }: IncomingMessage, response: ServerResponse, address: string | undefined): boolean {
    if (address === undefined || !this.#isTrusted(socket.remoteAddress) || this.#isTrusted(address)) return true;
    return this.#count(address, (release) => response.once('close', release));
  }

  #accept(socket: Socket): void {
    const connection: Connection = { isBusy: false, waiting: [], isFlood: false };
    this.#connections.set(socket, connection);
    withoutStackTraces(socket);
    const address = socket.remoteAddress;
    if (address === undefined || this.#isTrusted(address)) return;
    const isAdmitted = this.#count(address, (release) =>
      socket.once('close', () => {
        if (connection.isFlood) setTimeout(release, this.#limits.stallMs).unref();
        else release();
      }),
    );
    if (!isAdmitted) socket.destroy();
  }

  #count(address: string, onClose: (release: () => void) => void): boolean {
    const network = networkOf(address);
    if (this.#byAddress.of(network) >= this.#limits.perAddress) return false;
    onClose(this.#byAddress.begin(network));
    return true;
  }
}

/**
 * Omits the stack traces of the errors that Node creates for each unanswered request when a connection closes: a
 * connection may have received 2,000 requests at once, and a stack trace takes most of the time of each.
 */
function withoutStackTraces(socket: Socket): void {
  let limit = Error.stackTraceLimit;
  socket.prependListener('close', () => {
    limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
  });
  socket.on('close', () => {
    Error.stackTraceLimit = limit;
  });
}
