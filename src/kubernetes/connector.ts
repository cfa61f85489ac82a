import { type LookupAddress, type LookupAllOptions, lookup as lookupName } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import type { buildConnector } from 'undici';
import { type AddressPolicy, judgeAddress, judgeHost } from './address.ts';
import { ClusterError, resourceErrorOf } from './cluster-error.ts';
import type { Target } from './kubeconfig.ts';
import type { SocketBudget } from './socket-budget.ts';

/** Resolves a name to all of its addresses, as `dns.lookup` does. */
export type Lookup = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** Dials a target for undici, TLS handshake included; `close` cuts what it has open and tells whether that was anything. */
export interface Connector {
  readonly connect: buildConnector.connector;
  readonly close: () => boolean;
}

interface Ways {
  target: Target;
  policy: AddressPolicy;
  /** Milliseconds from the look-up of the name to the end of the TLS handshake. */
  timeoutMs: number;
  lookup?: Lookup | undefined;
  /** Each dial takes one socket of it, until it is closed. */
  sockets?: SocketBudget | undefined;
}

/**
 * Makes the connector of a target. Every address is judged when it is dialled, out of the same answer that is dialled: a
 * name that resolves to something else the second time gains nothing. What a proxy resolves, nobody here can judge.
 */
export function createConnector({ target, policy, timeoutMs, lookup = lookupName, sockets }: Ways): Connector {
  const open = new Set<Socket>();
  const context = secureContextOf(target);
  const guarded = guard(lookup, policy);
  const proxy = target.proxyURL === undefined ? undefined : new URL(target.proxyURL);
  const track = (socket: Socket): Socket => {
    open.add(socket);
    // Heard for as long as it lives: an error between two owners would end the process.
    return socket.on('error', () => {}).once('close', () => open.delete(socket));
  };
  const secure = (host: string, route: { socket: Socket } | { port: number }): Socket => {
    const name = target.tlsServerName ?? host;
    return connectTls({
      ...route,
      host,
      lookup: guarded,
      secureContext: context,
      rejectUnauthorized: !target.insecureSkipTlsVerify,
      // SNI takes no addresses (RFC 6066), and without it the name to check would be the URL's.
      ...(isIP(name) === 0 && { servername: name }),
      checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
      ALPNProtocols: ['http/1.1'],
    });
  };
  const dial = async (host: string, port: number, isTls: boolean, signal: AbortSignal): Promise<Socket> => {
    const giveBack = sockets?.take();
    try {
      const socket = await reach(host, port, isTls, signal);
      if (giveBack) socket.once('close', giveBack);
      return socket;
    } catch (error) {
      giveBack?.();
      throw error;
    }
  };
  const reach = async (host: string, port: number, isTls: boolean, signal: AbortSignal): Promise<Socket> => {
    refuse(judgeHost(host, policy), target.server);
    if (proxy) refuse(judgeHost(proxy.hostname, policy), target.proxyURL ?? '');
    const tunnel = proxy && (await openTunnel(proxy, { host, port, lookup: guarded, signal, track }));
    const plain = () => tunnel ?? connectTcp({ host, port, lookup: guarded });
    const socket = track(isTls ? secure(host, tunnel ? { socket: tunnel } : { port }) : plain());
    if (socket !== tunnel) await ready(socket, isTls ? 'secureConnect' : 'connect', signal);
    // undici would dial again and again if it were handed one.
    if (socket.destroyed) throw lostError();
    // As kubectl has it: dead peers behind a silent network are noticed.
    return socket.setNoDelay(true).setKeepAlive(true, 30_000);
  };
  return {
    connect: ({ hostname, port, protocol }, callback) => {
      const late = new ClusterError(
        'TIMED_OUT',
        `no connection to ${target.server} came about within ${timeoutMs / 1000} s`,
      );
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(late), timeoutMs);
      const isTls = protocol === 'https:';
      dial(hostname, Number(port) || (isTls ? 443 : 80), isTls, deadline.signal)
        .finally(() => clearTimeout(timer))
        .then(
          (socket) => callback(null, socket),
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
      // As Go has it: what is given is trusted, be it an intermediate or the server's own certificate.
      allowPartialTrustChain: true,
    });
  } catch {
    // OpenSSL's message may quote the key.
    throw new ClusterError('CREDENTIAL_UNUSABLE', 'the CA, client certificate or key cannot be used for TLS');
  }
}

function guard(lookup: Lookup, policy: AddressPolicy): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const reasons = addresses.map(({ address }) => judgeAddress(address, policy));
      const allowed = addresses.filter((_, index) => reasons[index] === undefined);
      const [first] = allowed;
      const refused = `the name ${hostname} resolves to what may not be dialled: ${reasons[0]}`;
      if (!first) return callback(new ClusterError('ADDRESS_REFUSED', refused), []);
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

function refuse(reason: string | undefined, url: string): void {
  if (reason !== undefined) throw new ClusterError('ADDRESS_REFUSED', `${url} may not be dialled: ${reason}`);
}

function ready(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cut = () => socket.destroy(asError(signal.reason));
    signal.addEventListener('abort', cut, { once: true });
    socket.once('error', reject).once('close', () => reject(lostError()));
    socket.once(event, () => {
      signal.removeEventListener('abort', cut);
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

/** A tunnel through an HTTP proxy; the proxy's own certificate is judged by the well-known authorities. */
function openTunnel(proxy: URL, { host, port, lookup, signal, track }: Tunnel): Promise<Socket> {
  const { protocol, hostname } = proxy;
  const path = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const failed = (why: string) => new ClusterError('PROXY', `the proxy ${proxy.origin} ${why}`);
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
    const cut = () => request.destroy(asError(signal.reason));
    signal.addEventListener('abort', cut, { once: true });
    request.once('socket', track);
    request.once('connect', ({ statusCode }, socket) => {
      signal.removeEventListener('abort', cut);
      if (statusCode === 200) return resolve(socket);
      socket.destroy();
      reject(failed(`answered ${statusCode} instead of opening a tunnel`));
    });
    request.once('response', (response) => {
      response.destroy();
      reject(failed('does not open tunnels'));
    });
    request.on('error', (error) =>
      reject(
        error instanceof ClusterError || resourceErrorOf(error) ? error : failed(`cannot be used${codeIn(error)}`),
      ),
    );
    request.end();
  });
}

function codeIn(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : '';
}

function lostError(): Error {
  return Object.assign(new Error('closed'), { code: 'ECONNRESET' });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
