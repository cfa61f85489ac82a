import { createServer as createHttp, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2,
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, connect, createServer as createTcp, type Server, type Socket } from 'node:net';
import { createSecureContext, createServer as createTls, type SecureContext, TLSSocket } from 'node:tls';
import type { Target } from '../../src/kubernetes/kubeconfig/target.ts';
import { type Authority, createAuthority, type Issued } from './certificates.ts';
import { onTestFinished } from './running-test.ts';

/** Signs the stand-ins' certificates unless a test says otherwise. */
export const authority = createAuthority('stand-in');
const serving = authority.issue({ commonName: 'kube-apiserver', altNames: ['127.0.0.1', 'cluster.test'] });

/** A loopback server that replaces an API server, for behavior that a real one does not show. */
export interface StandIn {
  readonly port: number;
  readonly server: string;
  /** Method and path of each request so far. */
  readonly requests: string[];
  /** The open sockets, and the total number of connections so far. */
  readonly sockets: Set<Socket>;
  readonly accepted: () => number;
  /** Closes all of its connections, as a restart does. */
  readonly cut: () => void;
  readonly close: () => Promise<void>;
  /** Returns the target that points to this server, with a token. */
  readonly target: (fields?: Partial<Target>) => Target;
}

interface StandInOptions {
  /** Certificate and key; by default one of `authority` for 127.0.0.1 and cluster.test. */
  certificate?: Issued;
  /** Plain http instead of https. */
  plain?: boolean;
  /** Requests a client certificate that this authority signed. */
  clients?: Authority;
  /**
   * Speaks only HTTP/2: `refuses` the handshake of a client that does not offer it, or `ignores` the client's offer
   * as Go's servers do.
   */
  http2?: 'refuses' | 'ignores';
}

/** The canary token in the targets of these tests. */
export const token = 'stand-in-token-canary';

/** Starts a stand-in that answers requests. */
export async function standIn(handler: RequestListener, options: StandInOptions = {}): Promise<StandIn> {
  const requests: string[] = [];
  const listener: RequestListener = (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    handler(request, response);
  };
  const { certificate, key } = options.certificate ?? serving;
  if (options.http2)
    return listen(http2Server(listener as never, { cert: certificate, key, mode: options.http2 }), 'https', requests);
  const server = options.plain
    ? createHttp(listener)
    : createHttps(
        {
          cert: certificate,
          key,
          ...(options.clients && { ca: options.clients.certificate, requestCert: true, rejectUnauthorized: false }),
        },
        listener,
      );
  return listen(server, options.plain ? 'http' : 'https', requests);
}

function http2Server(
  listener: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
  { mode, ...certificate }: { cert: string; key: string; mode: 'refuses' | 'ignores' },
): Server {
  if (mode === 'refuses') return createSecureServer({ ...certificate, allowHTTP1: false }, listener);
  const http2 = createHttp2(listener);
  // Go's servers begin with an empty SETTINGS frame regardless of the client's offer.
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const ALPNCallback = ({ protocols }: { protocols: string[] }) => (protocols.includes('h2') ? 'h2' : protocols[0]);
  return createTls({ ...certificate, ALPNCallback }, (socket) => {
    if (socket.alpnProtocol === 'h2') http2.emit('connection', socket);
    else socket.on('error', () => {}).write(settings);
  });
}

/** Starts a stand-in that records the server names of TLS handshakes. */
export async function namingStandIn(): Promise<StandIn & { names: string[] }> {
  const names: string[] = [];
  const { certificate: cert, key } = serving;
  const SNICallback = (name: string, done: (error: null, context: SecureContext) => void) => {
    names.push(name);
    done(null, createSecureContext({ cert, key }));
  };
  const server = createHttps({ cert, key, SNICallback }, (_, response) => answerWith(response, 200, {}));
  return { ...(await listen(server, 'https', [])), names };
}

/** Completes a TLS handshake with a certificate that has a key too weak for OpenSSL's default security level. */
export function weakTls(socket: Socket, { certificate: cert, key }: Issued): void {
  const secureContext = createSecureContext({ cert, key, ciphers: 'DEFAULT@SECLEVEL=0' });
  new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {});
}

/** Starts a stand-in that handles raw connections, before any TLS. */
export function rawStandIn(onSocket: (socket: Socket) => void): Promise<StandIn> {
  return listen(
    createTcp((socket) => onSocket(socket.resume())),
    'https',
    [],
  );
}

/** Returns a port without a server: connections are refused. */
export { freePort as refusingPort } from './free-port.ts';

/** An HTTP proxy that resolves every name to loopback. `tunnels` lists the requested targets. */
export async function standInProxy(status = 200): Promise<{ url: string; tunnels: string[] }> {
  const tunnels: string[] = [];
  const server = createHttp();
  server.on('connect', ({ url = '' }, socket) => {
    tunnels.push(url);
    if (status !== 200) return socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
    const onward = connect(Number(url.split(':').at(-1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
  });
  const { port } = await listen(server, 'http', []);
  return { url: `http://127.0.0.1:${port}`, tunnels };
}

/** The responses of `kubernetes`; each omitted part is that of a healthy API server. */
export interface StandInResponses {
  readyz?: [status: number, body: string];
  healthz?: [status: number, body: string];
  review?: [status: number, body: unknown];
  accessReview?: [status: number, body: unknown];
  version?: [status: number, body: unknown];
  kubeSystem?: [status: number, body: unknown];
  namespaces?: [status: number, body: unknown];
}

export const user = (username: string) => ({ kind: 'SelfSubjectReview', status: { userInfo: { username } } });
export const forbidden = (username: string) => ({
  kind: 'Status',
  status: 'Failure',
  message: `selfsubjectreviews.authentication.k8s.io is forbidden: User "${username}" cannot create resource`,
  reason: 'Forbidden',
  code: 403,
});

/** A handler that answers a probe as an API server does. Tests may change `responses` while it runs. */
export function kubernetes(responses: StandInResponses = {}): RequestListener {
  return (request: IncomingMessage, response: ServerResponse) => {
    const at: Record<string, [number, unknown]> = {
      '/readyz?verbose': responses.readyz ?? [200, '[+]ping ok\nreadyz check passed\n'],
      '/healthz': responses.healthz ?? [200, 'ok'],
      '/apis/authentication.k8s.io/v1/selfsubjectreviews': responses.review ?? [201, user('reader')],
      '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews': responses.accessReview ?? [
        201,
        { kind: 'SelfSubjectAccessReview', status: { allowed: false } },
      ],
      ...(responses.namespaces && { '/api/v1/namespaces?limit=1': responses.namespaces }),
      '/version': responses.version ?? [200, { gitVersion: 'v1.31.0' }],
      '/api/v1/namespaces/kube-system': responses.kubeSystem ?? [
        200,
        { kind: 'Namespace', metadata: { name: 'kube-system', uid: '7d4c8f7e-0000-4000-8000-000000000001' } },
      ],
    };
    const [status, body] = at[request.url ?? ''] ?? [404, { kind: 'Status', code: 404 }];
    request.resume();
    answerWith(response, status, body);
  };
}

/** Ends a response with text, or with an object as JSON. */
export function answerWith(response: ServerResponse, status: number, body: unknown): void {
  const isText = typeof body === 'string';
  response.writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json' });
  response.end(isText ? body : JSON.stringify(body));
}

/** Returns the common name of the trusted client certificate of a request. */
export function clientOf(request: IncomingMessage): string | undefined {
  const socket = request.socket as TLSSocket;
  const { subject } = socket.getPeerCertificate();
  const name = subject?.CN;
  return socket.authorized && typeof name === 'string' ? name : undefined;
}

async function listen(server: Server, scheme: string, requests: string[]): Promise<StandIn> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const close = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    cut();
    await closed;
  };
  onTestFinished(close);
  const address = `${scheme}://127.0.0.1:${port}`;
  return {
    port,
    server: address,
    requests,
    sockets,
    accepted: () => accepted,
    cut,
    close,
    target: (fields) => ({
      server: address,
      caData: authority.certificate,
      insecureSkipTlsVerify: false,
      token,
      ...fields,
    }),
  };
}
