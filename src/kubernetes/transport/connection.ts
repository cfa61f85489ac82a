import { Pool } from '../../internals/undici.ts';
import { ClusterError, clusterErrorOf, connectionClosed, type ErrorContext, statusErrorOf } from '../cluster-error.ts';
import { describeExpired } from '../kubeconfig/describe.ts';
import type { Target } from '../kubeconfig/target.ts';
import type { AddressPolicy } from './address.ts';
import { Attempts } from './attempts.ts';
import type { Call } from './call.ts';
import { type Connector, createConnector, type Lookup, secondsOf } from './connector.ts';
import { objectOf } from './json-object.ts';
import type { ApiResponse, ResponseCollector } from './response-collector.ts';
import type { IdleConnection, SocketBudget } from './socket-budget.ts';

/** Maximum sockets per cluster: one for each concurrent call that docs/architecture.md allows, and one for probes. */
export const MAX_SOCKETS = 5;
/**
 * Milliseconds for DNS lookup, connection and TLS handshake together: the
 * whole time budget of a probe (docs/architecture.md).
 */
export const CONNECT_TIMEOUT_MS = 5_000;
/** Default timeout of a call in milliseconds: the time budget of a probe (docs/architecture.md). */
const CALL_TIMEOUT_MS = 5_000;
/** Maximum bytes of response headers; same as Node's default. */
const MAX_HEADER_BYTES = 16 * 1024;
/**
 * Milliseconds until an idle socket is closed. API servers close it after 90 s (IdleTimeout in k8s.io/apiserver),
 * load balancers usually later.
 */
const KEEP_ALIVE_MS = 75_000;

/** Milliseconds of idleness after which a socket may be dead without Kitestring knowing it. */
const SUSPECT_AFTER_MS = 1_000;
/**
 * Milliseconds for the first byte of a response on such a socket. A router that has forgotten the connection drops its
 * packets silently, and the call is then repeated on a new socket.
 */
const FIRST_BYTE_MS = 2_000;

/** Returns the current bearer token; called for each request, because in-cluster tokens rotate. */
export type TokenSource = () => string | Promise<string>;

export interface ConnectionOptions {
  target: Target;
  policy: AddressPolicy;
  /** Replaces the target's token. */
  token?: TokenSource | undefined;
  lookup?: Lookup | undefined;
  /** Limit on open sockets that is shared with other connections. */
  sockets?: SocketBudget | undefined;
}

/** A connection to one cluster. Owns its sockets and enforces deadlines. Calls only ever fail with a ClusterError. */
export class Connection implements IdleConnection {
  readonly server: string;
  /** Whether requests authenticate with a token or a client certificate. */
  readonly hasCredential: boolean;
  #pool: Pool;
  readonly #origin: string;
  readonly #target: Target;
  readonly #connector: Connector;
  readonly #prefix: string;
  readonly #token: TokenSource | undefined;
  readonly #errorContext: ErrorContext;
  readonly #sockets: SocketBudget | undefined;
  /** Whether a socket was opened since this was last set to false. Another cluster may have taken over the address. */
  hasNewSocket = true;
  readonly #running = new Set<{ readonly stop: (error: Error) => void }>();
  #isClosed = false;
  #lastUsed = performance.now();

  constructor({ target, policy, token = tokenOf(target), lookup, sockets }: ConnectionOptions) {
    const { origin, pathname } = new URL(target.server);
    this.server = target.server;
    this.hasCredential = token !== undefined || target.clientCertificate !== undefined;
    this.#prefix = pathname.replace(/\/$/, '');
    this.#token = token;
    this.#errorContext = {
      server: target.server,
      hasOwnCA: target.caData !== undefined,
      tlsServerName: target.tlsServerName,
    };
    this.#sockets = sockets;
    this.#connector = createConnector({
      ...{ target, policy, lookup, sockets, timeoutMs: CONNECT_TIMEOUT_MS },
      onOpen: () => {
        this.hasNewSocket = true;
      },
    });
    this.#origin = origin;
    this.#target = target;
    this.#pool = this.#createPool(MAX_SOCKETS);
  }

  #createPool(connections: number): Pool {
    return new Pool(this.#origin, {
      connect: this.#connector.connect,
      connections,
      // The connector offers HTTP/2 only to servers that do not support HTTP/1.1.
      allowH2: true,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      // Each call has a total deadline of its own. undici's body timeout restarts with every chunk, so it is turned
      // off.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** Sends a request to a path below the server URL and returns the complete response for any HTTP status. */
  async call(path: string, call: Call = {}): Promise<ApiResponse> {
    const { signal, timeoutMs = CALL_TIMEOUT_MS } = call;
    const attempts = new Attempts(this.server, call);
    this.#running.add(attempts);
    this.#sockets?.setIdle(this, false);
    const begunAt = performance.now();
    const timer = setTimeout(() => attempts.stop(this.#timeoutError(performance.now() - begunAt)), timeoutMs);
    const cancel = () => attempts.stop(cancellationOf(signal, this.server));
    signal?.addEventListener('abort', cancel);
    try {
      if (this.#isClosed) throw connectionClosed(this.server);
      if (signal?.aborted) throw cancellationOf(signal, this.server);
      return await this.#callRepeatedly(path, call, attempts);
    } catch (error) {
      throw clusterErrorOf(error, this.#errorContext);
    } finally {
      this.#running.delete(attempts);
      this.#lastUsed = performance.now();
      this.#sockets?.setIdle(this, this.#running.size === 0 && !this.#isClosed);
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
    }
  }

  /**
   * Sends a request, and repeats it once if the first attempt cannot have had an effect: on a new socket if a GET got no
   * byte on an open one, which the server or a load balancer may have closed; with HTTP/2 if the server speaks nothing
   * else.
   */
  async #callRepeatedly(path: string, call: Call, attempts: Attempts): Promise<ApiResponse> {
    const isReused = this.#pool.stats.connected > 0;
    const isSuspect = isReused && performance.now() - this.#lastUsed > SUSPECT_AFTER_MS;
    const isGet = (call.method ?? 'GET') === 'GET';
    try {
      return await this.#attempt(
        this.#pool,
        path,
        call,
        attempts.begin(isSuspect && isGet ? FIRST_BYTE_MS : undefined),
      );
    } catch (error) {
      if (attempts.isOver) throw error;
      if (this.#connector.offersHttp1 && isHttp2Only(error)) return this.#callWithHttp2(path, call, attempts, error);
      if (!isReused || !isGet || clusterErrorOf(error, this.#errorContext).code !== 'CONNECTION_LOST') throw error;
    }
    const fresh = this.#createPool(1);
    try {
      return await this.#attempt(fresh, path, call, attempts.begin());
    } finally {
      await fresh.destroy();
    }
  }

  async #callWithHttp2(path: string, call: Call, attempts: Attempts, error: unknown): Promise<ApiResponse> {
    const before = this.#pool;
    this.#connector.offerHttp2();
    this.#pool = this.#createPool(MAX_SOCKETS);
    void before.close().catch(() => {});
    try {
      return await this.#attempt(this.#pool, path, call, attempts.begin());
    } catch {
      throw error;
    }
  }

  #attempt(pool: Pool, path: string, call: Call, collector: ResponseCollector): Promise<ApiResponse> {
    this.#send(pool, path, call, collector).catch((error: Error) => collector.stop(error));
    return collector.response;
  }

  /**
   * Like `call`, and returns the parsed JSON object. Throws a ClusterError if
   * the status is not 2xx or the body is not an object.
   */
  async read(path: string, call: Call = {}): Promise<Record<string, unknown>> {
    const response = await this.call(path, call);
    if (response.status < 200 || response.status > 299) throw this.statusError(response.status);
    const object = objectOf(response);
    if (object) return object;
    throw new ClusterError('NOT_KUBERNETES', `${this.server} sent a response that is not a JSON object`);
  }

  /** Says which part of the credential has expired; undefined if none has. */
  get expired(): string | undefined {
    return describeExpired(this.#target, Date.now());
  }

  /** The error for a response that is not 2xx. On 401, says that the credential has expired if it has. */
  statusError(status: number): ClusterError {
    const expired = status === 401 ? this.expired : undefined;
    return expired === undefined
      ? statusErrorOf(status, this.server)
      : new ClusterError('UNAUTHORIZED', `${this.server} does not accept the credential: ${expired}`);
  }

  /** When the last call ended, as a `performance.now()` time; Infinity while a call runs. */
  idleSince(): number {
    return this.#running.size > 0 ? Number.POSITIVE_INFINITY : this.#lastUsed;
  }

  closeSockets(): boolean {
    return this.#connector.close();
  }

  /** Closes the connection and aborts its running calls. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#sockets?.setIdle(this, false);
    for (const collector of this.#running) collector.stop(connectionClosed(this.server));
    this.#connector.close();
    await this.#pool.destroy();
  }

  #timeoutError(elapsedMs: number): ClusterError {
    return this.#pool.stats.connected > 0
      ? new ClusterError('TIMED_OUT', `${this.server} did not respond within ${secondsOf(elapsedMs)}`)
      : this.#connector.timeoutError(elapsedMs);
  }

  async #send(
    pool: Pool,
    path: string,
    { method = 'GET', body, accept }: Call,
    collector: ResponseCollector,
  ): Promise<void> {
    const token = await this.#token?.();
    if (collector.isStopped) return;
    const headers = {
      accept: accept ?? 'application/json',
      'accept-encoding': 'gzip',
      'user-agent': 'kitestring',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body && { 'content-type': 'application/json' }),
    };
    const request = { method, path: this.#prefix + checkPath(path), headers };
    pool.dispatch(body ? { ...request, body: JSON.stringify(body) } : request, collector);
  }
}

/** Whether an error shows that a server speaks only HTTP/2: it refuses the handshake, or answers with its frames. */
function isHttp2Only(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' || error.name === 'HTTPParserError';
}

function tokenOf({ token }: Target): TokenSource | undefined {
  return token === undefined ? undefined : () => token;
}

// Defence in depth for paths built from resource names: rejects everything that a proxy may interpret as path
// traversal.
function checkPath(path: string): string {
  const [pathname = ''] = path.split('?');
  const isPlain = /^\/[\x21-\x7e]*$/.test(path) && !/\/\/|\\|#/.test(path) && !/%(?![0-9a-f]{2})/i.test(path);
  if (isPlain && !/%(2f|5c|00)/i.test(pathname) && !/\/(\.|%2e){1,2}(\/|$)/i.test(pathname)) return path;
  throw new ClusterError('UNKNOWN', 'the path of a call to a cluster contains characters that are not allowed');
}

function cancellationOf(signal: AbortSignal | undefined, server: string): ClusterError {
  const reason: unknown = signal?.reason;
  return reason instanceof ClusterError ? reason : new ClusterError('CANCELLED', `the call to ${server} was cancelled`);
}
