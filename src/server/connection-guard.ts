import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { networkOf } from '../domain/access/network.ts';

/** How many connections there may be, and how long they may stand still. */
export interface ConnectionLimits {
  readonly connections: number;
  /** ConnectionGuard, and requests that a trusted proxy forwards, of one client address at a time (IPv6: of one /64). */
  readonly perAddress: number;
  /** Requests that one connection may send ahead of their turn (HTTP pipelining). */
  readonly pipelined: number;
  /** How often a connection with unsent bytes must make progress: it is cut after one to two times this. */
  readonly stallMs: number;
  /** How long a connection is kept open between two requests. */
  readonly keepAliveMs: number;
}

/** ConnectionGuard in all, where the limit of open files allows them, and the most of one address. */
const MAX_CONNECTIONS = 4_096;
const MAX_PER_ADDRESS = 1_024;

/** The connections that there may be, and the share of one address: a quarter, 1,024 at most, so that none locks out the others. */
export function connectionShares(connections: number): Pick<ConnectionLimits, 'connections' | 'perAddress'> {
  return { connections, perAddress: Math.min(MAX_PER_ADDRESS, Math.floor(connections / 4)) };
}

export const CONNECTION_LIMITS: Omit<ConnectionLimits, 'keepAliveMs'> = {
  ...connectionShares(MAX_CONNECTIONS),
  // Browsers and proxies send none; each may hold a head of 16 KiB.
  pipelined: 8,
  // Cut after 15 to 30 seconds without progress.
  stallMs: 15_000,
};

type Exchange = readonly [request: IncomingMessage, response: ServerResponse];

interface Connection {
  /** Whether a request is being answered. */
  isBusy: boolean;
  readonly waiting: Exchange[];
}

/**
 * Guards the connections of a server: a share for each client address, one request of a connection at a time, and none
 * whose client does not read. `isTrusted` says whether an address is a trusted proxy: many clients come from it.
 */
export class ConnectionGuard {
  readonly #limits: ConnectionLimits;
  readonly #isTrusted: (address: string | undefined) => boolean;
  readonly #byAddress = new Map<string, number>();
  readonly #connections = new WeakMap<Socket, Connection>();

  constructor(limits: ConnectionLimits, isTrusted: (address: string | undefined) => boolean) {
    this.#limits = limits;
    this.#isTrusted = isTrusted;
  }

  guard(server: Server): void {
    server.maxConnections = this.#limits.connections;
    server.keepAliveTimeout = this.#limits.keepAliveMs;
    server.on('connection', (socket) => this.#accept(socket));
    // Node emits this after `stallMs` in which nothing was read and no byte of a write was taken.
    server.setTimeout(this.#limits.stallMs, (socket) => {
      const isIdle = this.#connections.get(socket)?.isBusy !== true;
      // A request that is still being computed or received has deadlines of its own.
      if (isIdle || socket.writableLength > 0) socket.destroy();
    });
  }

  /** Handles a request once the requests before it on its connection are answered. */
  take(request: IncomingMessage, response: ServerResponse, handle: (...exchange: Exchange) => void): void {
    const { socket } = request;
    const connection = this.#connections.get(socket);
    if (!connection || socket.destroyed) return;
    if (connection.isBusy) {
      connection.waiting.push([request, response]);
      if (connection.waiting.length > this.#limits.pipelined) socket.destroy();
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
   * Counts a request until its response is closed, on the share of the address that a trusted proxy names; false when the
   * share is used up. A client that connects by itself has been counted by its connections.
   */
  admit({ socket }: IncomingMessage, response: ServerResponse, address: string | undefined): boolean {
    if (address === undefined || !this.#isTrusted(socket.remoteAddress) || this.#isTrusted(address)) return true;
    return this.#count(address, (release) => response.once('close', release));
  }

  #accept(socket: Socket): void {
    this.#connections.set(socket, { isBusy: false, waiting: [] });
    const address = socket.remoteAddress;
    if (address === undefined || this.#isTrusted(address)) return;
    if (!this.#count(address, (release) => socket.once('close', release))) socket.destroy();
  }

  #count(address: string, onClose: (release: () => void) => void): boolean {
    const network = networkOf(address);
    const count = this.#byAddress.get(network) ?? 0;
    if (count >= this.#limits.perAddress) return false;
    this.#byAddress.set(network, count + 1);
    onClose(() => {
      const left = (this.#byAddress.get(network) ?? 1) - 1;
      if (left === 0) this.#byAddress.delete(network);
      else this.#byAddress.set(network, left);
    });
    return true;
  }
}
