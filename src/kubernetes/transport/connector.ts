import { type LookupAddress, type LookupAllOptions, lookup as lookupName } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import type { buildConnector } from 'undici';
import { ClusterError, resourceErrorOf } from '../cluster-error.ts';
import type { Target } from '../kubeconfig/target.ts';
import { type AddressPolicy, addressProblem, hostProblem } from './address.ts';
import type { SocketBudget } from './socket-budget.ts';

/** Resolves a name to all of its addresses, as `dns.lookup` does. */
export type Lookup = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * Opens sockets to one target for undici, including the TLS handshake. `close`
 * destroys its open sockets and returns whether there were any.
 */
export interface Connector {
  readonly connect: buildConnector.connector;
  readonly close: () => boolean;
  /** Whether it offers HTTP/1.1 in TLS handshakes, which it does until `offerHttp2` is called. */
  readonly offersHttp1: boolean;
  /** Offers only HTTP/2 from now on. */
  readonly offerHttp2: () => void;
  /** The error for a call that waited this many milliseconds for a socket. */
  readonly timeoutError: (elapsedMs: number) => ClusterError;
}

interface ConnectorOptions {
  target: Target;
  policy: AddressPolicy;
  /** Milliseconds from the DNS lookup to the end of the TLS handshake. */
  timeoutMs: number;
  lookup?: Lookup | undefined;
  /** Called when a socket has been opened. */
  onOpen?: (() => void) | undefined;
  /** Limit on open sockets: each dial takes one, which is returned when the socket closes. */
  sockets?: SocketBudget | undefined;
}

/**
 * Creates the connector of a target. The address policy is applied to the very DNS response that is then dialled, so
 * DNS rebinding cannot bypass it. Names that a proxy resolves cannot be checked here.
 */
export function createConnector({
  target,
  policy,
  timeoutMs,
  lookup = lookupName,
  sockets,
  onOpen,
}: ConnectorOptions): Connector {
  const open = new Set<Socket>();
  let protocol = 'http/1.1';
  /** TLS handshakes that have not ended. */
  let handshakes = 0;
  const timeoutError = (elapsedMs: number) => {
    const within = `within ${secondsOf(elapsedMs)}`;
    return new ClusterError(
      'TIMED_OUT',
      handshakes > 0
        ? `${target.server} accepted the connection, but did not complete the TLS handshake ${within}`
        : `no connection to ${target.server} could be established ${within}`,
    );
  };
  const context = secureContextOf(target);
  const guardedLookup = guardLookup(lookup, policy);
  const proxy = target.proxyURL === undefined ? undefined : new URL(target.proxyURL);
  const track = (socket: Socket): Socket => {
    open.add(socket);
    // Without this listener, an error that is emitted while no other owner listens would crash the process.
    return socket.on('error', () => {}).once('close', () => open.delete(socket));
  };
  const secure = (host: string, route: { socket: Socket } | { port: number }): Socket => {
    // A fully qualified name ends with a dot, but a name in SNI and in certificates does not (RFC 6066, section 3).
    const name = (target.tlsServerName ?? host).replace(/\.$/, '');
    const socket = connectTls({
      ...route,
      host,
      lookup: guardedLookup,
      secureContext: context,
      rejectUnauthorized: !target.insecureSkipTlsVerify,
      // SNI must not be an IP address (RFC 6066). Without SNI, Node would check the certificate against the URL's
      // host: hence our own `checkServerIdentity`.
      ...(isIP(name) === 0 && { servername: name }),
      checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
      ALPNProtocols: [protocol],
    });
    const countHandshake = () => {
      handshakes += 1;
      let isOver = false;
      const end = () => {
        if (!isOver) handshakes -= 1;
        isOver = true;
      };
      socket.once('secureConnect', end).once('close', end);
    };
    if ('socket' in route) countHandshake();
    else socket.once('connect', countHandshake);
    return socket;
  };
  const dial = async (host: string, port: number, isTls: boolean, signal: AbortSignal): Promise<Socket> => {
    const releaseSocket = sockets?.take();
    try {
      const socket = await openSocket(host, port, isTls, signal);
      if (releaseSocket) socket.once('close', releaseSocket);
      return socket;
    } catch (error) {
      releaseSocket?.();
      throw error;
    }
  };
  const openSocket = async (host: string, port: number, isTls: boolean, signal: AbortSignal): Promise<Socket> => {
    throwIfRefused(hostProblem(host, policy), target.server);
    if (proxy) throwIfRefused(hostProblem(proxy.hostname, policy), target.proxyURL ?? '');
    const tunnel = proxy && (await openTunnel(proxy, { host, port, lookup: guardedLookup, signal, track }));
    const plain = () => tunnel ?? connectTcp({ host, port, lookup: guardedLookup });
    const socket = track(isTls ? secure(host, tunnel ? { socket: tunnel } : { port }) : plain());
    if (socket !== tunnel) await waitUntilConnected(socket, isTls ? 'secureConnect' : 'connect', signal);
    // undici would redial in a loop if it received a destroyed socket.
    if (socket.destroyed) throw connectionResetError();
    // Same as kubectl: keep-alive probes detect a dead peer that never closes the connection.
    return socket.setNoDelay(true).setKeepAlive(true, 30_000);
  };
  return {
    timeoutError,
    get offersHttp1() {
      return protocol === 'http/1.1';
    },
    offerHttp2: () => {
      protocol = 'h2';
    },
    connect: ({ hostname, port, protocol: scheme }, callback) => {
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(timeoutError(timeoutMs)), timeoutMs);
      const isTls = scheme === 'https:';
      dial(hostname, Number(port) || (isTls ? 443 : 80), isTls, deadline.signal)
        .finally(() => clearTimeout(timer))
        .then(
          (socket) => {
            onOpen?.();
            callback(null, socket);
          },
          (error: unknown) => callback(asError(error), null),
        );
    },
    close: () => {
      const hadAny = open.size > 0;
      for (const socket of open) socket.destroy();
      return hadAny;
    },
  };
}

function secureContextOf({ caData, clientCertificate }: Target): SecureContext {
  try {
    return createSecureContext({
      ...(caData !== undefined && { ca: caData }),
      ...(clientCertificate && { cert: clientCertificate.certificate, key: clientCertificate.key }),
      // Same as Go: any certificate in the CA bundle is a trust anchor, even an intermediate or the server's own
      // certificate.
      allowPartialTrustChain: true,
    });
  } catch {
    // OpenSSL's message may quote the key.
    throw new ClusterError('CREDENTIAL_UNUSABLE', 'the CA, client certificate or key cannot be used for TLS');
  }
}

function guardLookup(lookup: Lookup, policy: AddressPolicy): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const reasons = addresses.map(({ address }) => addressProblem(address, policy));
      const allowed = addresses.filter((_, index) => reasons[index] === undefined);
      const [first] = allowed;
      const refused = `the name ${hostname} resolves only to addresses that may not be dialled: ${reasons[0]}`;
      if (!first) return callback(new ClusterError('ADDRESS_REFUSED', refused), []);
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

function throwIfRefused(reason: string | undefined, url: string): void {
  if (reason !== undefined) throw new ClusterError('ADDRESS_REFUSED', `${url} may not be dialled: ${reason}`);
}

function waitUntilConnected(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => socket.destroy(asError(signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    socket.once('error', reject).once('close', () => reject(connectionResetError()));
    socket.once(event, () => {
      signal.removeEventListener('abort', abort);
      socket.off('error', reject);
      resolve();
    });
  });
}

interface Tunnel {
  host: string;
  port: number;
  lookup: LookupFunction;
  signal: AbortSignal;
  track: (socket: Socket) => Socket;
}

/** Opens a CONNECT tunnel through an HTTP proxy. An https proxy's certificate is verified with Node's default CAs. */
function openTunnel(proxy: URL, { host, port, lookup, signal, track }: Tunnel): Promise<Socket> {
  const { protocol, hostname } = proxy;
  const path = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const proxyError = (why: string) => new ClusterError('PROXY', `the proxy ${proxy.origin} ${why}`);
  return new Promise<Socket>((resolve, reject) => {
    const request = (protocol === 'https:' ? requestHttps : requestHttp)({
      method: 'CONNECT',
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: proxy.port || (protocol === 'https:' ? 443 : 80),
      path,
      headers: { host: path },
      lookup,
      agent: false,
    });
    const abort = () => request.destroy(asError(signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    request.once('socket', track);
    request.once('connect', ({ statusCode }, socket) => {
      signal.removeEventListener('abort', abort);
      if (statusCode === 200) return resolve(socket);
      socket.destroy();
      reject(proxyError(`responded with HTTP ${statusCode} instead of opening a tunnel`));
    });
    request.once('response', (response) => {
      response.destroy();
      reject(proxyError('does not support CONNECT'));
    });
    request.on('error', (error) =>
      reject(
        error instanceof ClusterError || resourceErrorOf(error)
          ? error
          : proxyError(`cannot be used${errorCodeSuffix(error)}`),
      ),
    );
    request.end();
  });
}

function errorCodeSuffix(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : '';
}

/** The error of a connection that ended without a reason. */
export function connectionResetError(): Error {
  return Object.assign(new Error('closed'), { code: 'ECONNRESET' });
}

/** Milliseconds as seconds for a message, such as `5 s` or `1.9 s`. */
export function secondsOf(ms: number): string {
  const seconds = Math.round(ms / 100) / 10;
  return `${seconds} s`;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
