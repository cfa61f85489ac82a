import Pool from 'undici/lib/dispatcher/pool.js';
import { findJsonExcess } from '../json-size.ts';
import type { AddressPolicy } from './address.ts';
import { ClusterError, clusterErrorOf, connectionClosed, type ErrorContext, refusalOf } from './cluster-error.ts';
import { type Connector, createConnector, type Lookup } from './connector.ts';
import type { Target } from './kubeconfig.ts';
import type { MemoryHold } from './live-memory.ts';
import { type ApiResponse, ResponseCollector } from './response-collector.ts';
import type { IdleConnection, SocketBudget } from './socket-budget.ts';

/** Sockets a cluster may have: as many calls as docs/architecture.md lets run at once for one cluster, and one for its probe. */
export const MAX_SOCKETS = 5;
/** Milliseconds to resolve, connect and shake hands: the whole budget of a probe (docs/architecture.md). */
export const CONNECT_TIMEOUT_MS = 5_000;
/** Milliseconds of a call that names no deadline of its own: the budget of a probe (docs/architecture.md). */
const CALL_TIMEOUT_MS = 5_000;
/** Bytes of an answer: a page of 250 objects of 64 KiB each, above what etcd's 1.5 MiB objects make likely. */
const MAX_RESPONSE_BYTES = 16 * 1024 * 1024;
/** Bytes of the headers of an answer: Node's own default, said aloud. */
const MAX_HEADER_BYTES = 16 * 1024;
/** Milliseconds an unused socket is kept: the API server ends it after 90 s (IdleTimeout in k8s.io/apiserver), LBs mostly later. */
export const KEEP_ALIVE_MS = 75_000;

/** Where a token comes from that changes by itself; called for each request. */
export type TokenSource = () => string | Promise<string>;

export interface Call {
  method?: 'GET' | 'POST';
  /** Sent as JSON. */
  body?: object;
  accept?: string;
  signal?: AbortSignal | undefined;
  /** Milliseconds until the whole answer is there. */
  timeoutMs?: number;
  /** Bytes of the largest body that is read. */
  maxBytes?: number;
  /** Takes what is received, until the answer is discarded. */
  memory?: MemoryHold | undefined;
}

export interface ConnectionOptions {
  target: Target;
  policy: AddressPolicy;
  /** Takes the place of the target's token. */
  token?: TokenSource | undefined;
  lookup?: Lookup | undefined;
  /** The sockets that it shares with other connections. */
  sockets?: SocketBudget | undefined;
}

/** One live cluster: its sockets, its deadlines, its end. Calls fail with a ClusterError and nothing else. */
export class Connection implements IdleConnection {
  readonly server: string;
  /** Whether it shows the API server who it is. */
  readonly hasCredential: boolean;
  readonly #pool: Pool;
  readonly #connector: Connector;
  readonly #prefix: string;
  readonly #token: TokenSource | undefined;
  readonly #circumstances: ErrorContext;
  readonly #sockets: SocketBudget | undefined;
  readonly #running = new Set<ResponseCollector>();
  #isClosed = false;
  #lastUsed = performance.now();

  constructor({ target, policy, token = tokenOf(target), lookup, sockets }: ConnectionOptions) {
    const { origin, pathname } = new URL(target.server);
    this.server = target.server;
    this.hasCredential = token !== undefined || target.clientCertificate !== undefined;
    this.#prefix = pathname.replace(/\/$/, '');
    this.#token = token;
    this.#circumstances = {
      server: target.server,
      ownAuthority: target.caData !== undefined,
      tlsServerName: target.tlsServerName,
    };
    this.#sockets = sockets;
    this.#connector = createConnector({ target, policy, lookup, sockets, timeoutMs: CONNECT_TIMEOUT_MS });
    this.#pool = new Pool(origin, {
      connect: this.#connector.connect,
      connections: MAX_SOCKETS,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      // Each call has a deadline of its own, which counts in all; undici's would begin anew with every byte.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** Sends a call to a path under the server's own and gives the answer whole. */
  async call(path: string, call: Call = {}): Promise<ApiResponse> {
    const { signal, timeoutMs = CALL_TIMEOUT_MS, maxBytes = MAX_RESPONSE_BYTES, memory } = call;
    const exchange = new ResponseCollector({ server: this.server, maxBytes, memory });
    this.#running.add(exchange);
    this.#sockets?.setIdle(this, false);
    const timer = setTimeout(() => exchange.stop(this.#lateness(timeoutMs)), timeoutMs);
    const cancel = () => exchange.stop(cancellationOf(signal, this.server));
    signal?.addEventListener('abort', cancel);
    try {
      if (this.#isClosed) throw connectionClosed(this.server);
      if (signal?.aborted) throw cancellationOf(signal, this.server);
      this.#send(path, call, exchange).catch((error: Error) => exchange.stop(error));
      return await exchange.answer;
    } catch (error) {
      throw clusterErrorOf(error, this.#circumstances);
    } finally {
      this.#running.delete(exchange);
      this.#lastUsed = performance.now();
      this.#sockets?.setIdle(this, this.#running.size === 0 && !this.#isClosed);
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** The object that the API server answers with; any status but 2xx and anything but a JSON object is an error. */
  async read(path: string, call: Call = {}): Promise<Record<string, unknown>> {
    const answer = await this.call(path, call);
    if (answer.status < 200 || answer.status > 299) throw refusalOf(answer.status, this.server);
    const object = objectOf(answer);
    if (object) return object;
    throw new ClusterError('NOT_KUBERNETES', `${this.server} answered with something else than a JSON object`);
  }

  /** When its last call ended, by `performance.now()`; Infinity while one runs. */
  idleSince(): number {
    return this.#running.size > 0 ? Number.POSITIVE_INFINITY : this.#lastUsed;
  }

  closeSockets(): boolean {
    return this.#connector.close();
  }

  /** Ends it and the calls that run on it; again does nothing. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#sockets?.setIdle(this, false);
    for (const exchange of this.#running) exchange.stop(connectionClosed(this.server));
    this.#connector.close();
    await this.#pool.destroy();
  }

  #lateness(timeoutMs: number): ClusterError {
    const within = `within ${Math.ceil(timeoutMs / 1000)} s`;
    const isConnected = this.#pool.stats.connected > 0;
    return new ClusterError(
      'TIMED_OUT',
      isConnected ? `${this.server} did not answer ${within}` : `no connection to ${this.server} came about ${within}`,
    );
  }

  async #send(path: string, { method = 'GET', body, accept }: Call, exchange: ResponseCollector): Promise<void> {
    const token = await this.#token?.();
    if (exchange.isStopped) return;
    const headers = {
      accept: accept ?? 'application/json',
      // Nothing is ever unpacked, so that nothing can unfold.
      'accept-encoding': 'identity',
      'user-agent': 'kitestring',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body && { 'content-type': 'application/json' }),
    };
    const request = { method, path: this.#prefix + checkPath(path), headers };
    this.#pool.dispatch(body ? { ...request, body: JSON.stringify(body) } : request, exchange);
  }
}

/** Values and levels of an answer that is parsed in one piece, in some 20 ms. */
const JSON_LIMITS = { maxValues: 100_000, maxDepth: 200 };

/** The JSON object that an answer holds, if it holds one; RESPONSE_TOO_LARGE beyond 100,000 values. */
export function objectOf({ body }: Pick<ApiResponse, 'body'>): Record<string, unknown> | undefined {
  const excess = findJsonExcess(body, JSON_LIMITS);
  if (excess?.what === 'depth') return undefined;
  if (excess) {
    const why = `the cluster answers with more than ${excess.limit.toLocaleString('en')} values`;
    throw new ClusterError('RESPONSE_TOO_LARGE', why);
  }
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function tokenOf({ token }: Target): TokenSource | undefined {
  return token === undefined ? undefined : () => token;
}

// The last gate for paths made of names: proxies read these spellings as a step out of the place they stand in.
function checkPath(path: string): string {
  const [place = ''] = path.split('?');
  const isPlain = /^\/[\x21-\x7e]*$/.test(path) && !/\/\/|\\|#/.test(path) && !/%(?![0-9a-f]{2})/i.test(path);
  if (isPlain && !/%(2f|5c|00)/i.test(place) && !/\/(\.|%2e){1,2}(\/|$)/i.test(place)) return path;
  throw new ClusterError('UNKNOWN', 'the path of a call to a cluster is not a plain one');
}

function cancellationOf(signal: AbortSignal | undefined, server: string): ClusterError {
  const reason: unknown = signal?.reason;
  return reason instanceof ClusterError ? reason : new ClusterError('CANCELLED', `asking ${server} was given up`);
}
