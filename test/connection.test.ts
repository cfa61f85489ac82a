import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import { ClusterError, clusterErrorOf, faultOf } from '../src/kubernetes/cluster-error.ts';
import type { Target } from '../src/kubernetes/kubeconfig/target.ts';
import type { Call } from '../src/kubernetes/transport/call.ts';
import {
  CONNECT_TIMEOUT_MS,
  Connection,
  type ConnectionOptions,
  MAX_SOCKETS,
} from '../src/kubernetes/transport/connection.ts';
import type { Lookup } from '../src/kubernetes/transport/connector.ts';
import { LiveMemory } from '../src/kubernetes/transport/live-memory.ts';
import { createAuthority } from './support/certificates.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';
import {
  answerWith,
  authority,
  clientOf,
  namingStandIn,
  rawStandIn,
  refusingPort,
  standIn,
  standInProxy,
  token,
  weakTls,
} from './support/stand-in.ts';

const hour = 60 * 60 * 1000;
const altNames = ['127.0.0.1', 'cluster.test'];
const ok: RequestListener = (_request, response) => answerWith(response, 200, { ok: true });

function open(target: Target, options: Partial<ConnectionOptions> = {}): Connection {
  const connection = new Connection({ target, policy: { allowLoopback: true }, ...options });
  onTestFinished(() => connection.close());
  return connection;
}

/** The error of a failed call. It must be a ClusterError and contain no secret. */
async function failure(connection: Connection, call: Call = {}, path = '/version'): Promise<ClusterError> {
  const error = await connection.call(path, call).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ClusterError);
  expect(String(error)).not.toContain(token);
  return error as ClusterError;
}

const resolveTo =
  (...answers: string[][]): Lookup =>
  (_hostname, _options, callback) => {
    const addresses = (answers.length > 1 ? answers.shift() : answers[0]) ?? [];
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };

describe('the identity of the API server', () => {
  const expired = { notBefore: new Date(Date.now() - 2 * hour), notAfter: new Date(Date.now() - hour) };
  const early = { notBefore: new Date(Date.now() + hour), notAfter: new Date(Date.now() + 2 * hour) };
  test.each([
    ['WRONG_CA', createAuthority('another').issue({ commonName: 'x', altNames })],
    ['WRONG_CA', createAuthority('stand-in').issue({ commonName: 'x', altNames })],
    ['CERTIFICATE_EXPIRED', authority.issue({ commonName: 'x', altNames, ...expired })],
    ['CERTIFICATE_NOT_YET_VALID', authority.issue({ commonName: 'x', altNames, ...early })],
    ['WRONG_NAME', authority.issue({ commonName: 'x', altNames: ['10.0.0.1', 'other.test'] })],
  ])('a connection fails with %s and sends no request', async (code, certificate) => {
    const { target, requests } = await standIn(ok, { certificate });
    expect((await failure(open(target()))).code).toBe(code);
    expect(requests).toEqual([]);
  });

  test('without a CA in the target, the well-known CAs decide', async () => {
    const { caData: _, ...target } = (await standIn(ok)).target();
    expect((await failure(open(target))).code).toBe('WRONG_CA');
  });

  test('a connection trusts the given CA, even if it is the certificate of the server itself', async () => {
    const certificate = createAuthority().issue({ commonName: 'x', altNames });
    const { target } = await standIn(ok, { certificate });
    expect((await open(target({ caData: certificate.certificate })).call('/version')).status).toBe(200);
  });

  test('the TLS server name replaces the host of the URL', async () => {
    const certificate = authority.issue({ commonName: 'x', altNames: ['inside.test', '10.1.2.3'] });
    const { target } = await standIn(ok, { certificate });
    for (const tlsServerName of ['inside.test', '10.1.2.3'])
      expect((await open(target({ tlsServerName })).call('/version')).status).toBe(200);
    expect((await failure(open(target({ tlsServerName: '10.1.2.4' })))).code).toBe('WRONG_NAME');
  });

  test('insecureSkipTlsVerify accepts any certificate', async () => {
    const { target } = await standIn(ok, { certificate: createAuthority().issue({ commonName: 'x', ...expired }) });
    expect((await open(target({ insecureSkipTlsVerify: true })).call('/version')).status).toBe(200);
  });

  test('a connection sends its token and its client certificate', async () => {
    const { target } = await standIn(
      (request, response) => {
        answerWith(response, 200, { client: clientOf(request), authorization: request.headers.authorization });
      },
      { clients: authority },
    );
    const clientCertificate = authority.issue({ commonName: 'kubernetes-admin', client: true });
    const seen = await open(target({ clientCertificate })).read('/version');
    expect(seen).toEqual({ client: 'kubernetes-admin', authorization: `Bearer ${token}` });
  });

  test('a client certificate with the key of another certificate is unusable', async () => {
    const { certificate } = authority.issue({ commonName: 'a', client: true });
    const clientCertificate = { certificate, key: authority.issue({ commonName: 'b', client: true }).key };
    const { target } = await standIn(ok);
    expect(() => open(target({ clientCertificate }))).toThrow(expect.objectContaining({ code: 'CREDENTIAL_UNUSABLE' }));
  });
});

describe('the response of the API server', () => {
  const trickle: RequestListener = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => response.write(' '), 20);
    response.once('close', () => clearInterval(timer));
  };
  const endless: RequestListener = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const chunk = Buffer.alloc(64 * 1024, 'x');
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', more);
    more();
  };
  const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024));
  // Its trailer claims to be one kilobyte.
  const lyingBomb = Buffer.from(bomb);
  lyingBomb.writeUInt32LE(1024, lyingBomb.length - 4);

  test.each<[string, RequestListener, Call?]>([
    ['TIMED_OUT', () => {}],
    ['TIMED_OUT', trickle],
    ['TIMED_OUT', (_, response) => response.writeHead(200, { 'content-length': '5' }).flushHeaders()],
    ['RESPONSE_TOO_LARGE', endless, { maxBytes: 1024 * 1024, timeoutMs: 5_000 }],
    ['RESPONSE_TOO_LARGE', (_, response) => response.writeHead(200, { 'content-length': '999999999' }).write('x')],
    ['RESPONSE_TOO_LARGE', (_, response) => response.writeHead(200, { 'x-a': 'x'.repeat(20_000) }).end()],
    ['NOT_KUBERNETES', (_, response) => response.writeHead(200, { 'content-encoding': 'br' }).end('x')],
    ['CONNECTION_LOST', ({ socket }) => socket.destroy()],
    [
      'CONNECTION_LOST',
      (_, response) => response.writeHead(200, { 'content-length': '5' }).write('x', () => response.destroy()),
    ],
  ])('a call fails with %s and closes its socket: %s', async (code, answer, call = { timeoutMs: 200 }) => {
    const { target, sockets } = await standIn(answer);
    expect((await failure(open(target()), { maxBytes: 1024 * 1024, ...call })).code).toBe(code);
    await vi.waitUntil(() => sockets.size === 0);
  });

  test.each([
    [302, 'NOT_KUBERNETES'],
    [401, 'UNAUTHORIZED'],
    [403, 'FORBIDDEN'],
    [503, 'SERVER_ERROR'],
  ])('a response with status %i fails with %s', async (status, code) => {
    const { target } = await standIn((_, response) => answerWith(response, status, {}));
    await expect(open(target()).read('/version')).rejects.toMatchObject({ code });
  });

  test.each([
    ['RESPONSE_TOO_LARGE', 'larger than the limit', bomb],
    ['NOT_KUBERNETES', 'larger than its trailer says', lyingBomb],
    ['NOT_KUBERNETES', 'not compressed', Buffer.from('not compressed at all')],
    ['NOT_KUBERNETES', 'cut off', bomb.subarray(0, 100)],
  ])('a call fails with %s if the compressed response is %s', async (code, _, bytes) => {
    const { target } = await standIn((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bytes),
    );
    const account = new LiveMemory();
    const call = { maxBytes: 1024 * 1024, memory: account.hold() };
    expect((await failure(open(target()), call)).code).toBe(code);
    expect(account.held).toBe(0);
  });

  test('a compressed response is decompressed, and its memory is that of the decompressed body', async () => {
    const text = JSON.stringify({ text: 'x'.repeat(500_000) });
    const { target } = await standIn(({ headers }, response) => {
      expect(headers['accept-encoding']).toBe('gzip');
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(text));
    });
    const account = new LiveMemory();
    const { body, discard } = await open(target()).call('/version', { memory: account.hold() });
    expect(body.toString()).toBe(text);
    expect(account.held).toBe(text.length);
    discard();
    expect(account.held).toBe(0);
  });

  test.each(['refuses', 'ignores'] as const)(
    'a server that speaks only HTTP/2 and %s HTTP/1.1 is called with HTTP/2',
    async (http2) => {
      const { target, requests, accepted } = await standIn(ok, { http2 });
      const connection = open(target());
      expect(await connection.read('/version')).toEqual({ ok: true });
      expect(await connection.read('/other')).toEqual({ ok: true });
      expect(requests).toEqual(['GET /version', 'GET /other']);
      expect(accepted()).toBe(2);
    },
  );

  test('a connection does not follow redirects', async () => {
    const elsewhere = await standIn(ok);
    const { target } = await standIn((_, response) => response.writeHead(307, { location: elsewhere.server }).end());
    await expect(open(target()).read('/version')).rejects.toMatchObject({ code: 'NOT_KUBERNETES' });
    expect(elsewhere.accepted()).toBe(0);
  });

  test('a response that is not a JSON object is not from an API server', async () => {
    const { target } = await standIn((_, response) => answerWith(response, 200, '<html>hello</html>'));
    await expect(open(target()).read('/version')).rejects.toMatchObject({ code: 'NOT_KUBERNETES' });
  });

  test.each<[string, Parameters<typeof rawStandIn>[0]]>([
    ['TIMED_OUT', () => {}],
    ['CONNECTION_LOST', (socket) => socket.resetAndDestroy()],
    ['CONNECTION_LOST', (socket) => socket.end()],
    ['TLS', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['TLS', (socket) => socket.end(Buffer.alloc(4096, 0x5a))],
  ])('a connection fails with %s before TLS is established', async (code, onSocket) => {
    const { target } = await rawStandIn(onSocket);
    expect((await failure(open(target()), { timeoutMs: 200 })).code).toBe(code);
  });

  test('a response that is not HTTP is not from an API server', async () => {
    const { server } = await rawStandIn((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'));
    const target = { server: server.replace('https', 'http'), insecureSkipTlsVerify: false };
    expect((await failure(open(target))).code).toBe('NOT_KUBERNETES');
  });

  test('a port without a listener fails with REFUSED', async () => {
    const target = { server: `https://127.0.0.1:${await refusingPort()}`, insecureSkipTlsVerify: false, token };
    expect((await failure(open(target))).code).toBe('REFUSED');
  });

  test('a host name that does not exist fails with DNS', async () => {
    const lookup: Lookup = (_hostname, _options, callback) =>
      callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), []);
    const target = { server: 'https://nowhere.test', insecureSkipTlsVerify: false, token };
    expect((await failure(open(target, { lookup }))).code).toBe('DNS');
  });
});

describe('the dialled address', () => {
  const named = (port: number) => ({
    server: `https://cluster.test:${port}`,
    caData: authority.certificate,
    insecureSkipTlsVerify: false,
  });

  test('a host name that later resolves to a forbidden address is refused', async () => {
    const { port, cut, accepted, sockets } = await standIn(ok);
    const connection = open(named(port), { lookup: resolveTo(['127.0.0.1'], ['169.254.169.254']) });
    expect((await connection.call('/version')).status).toBe(200);
    cut();
    await vi.waitUntil(() => sockets.size === 0);
    await vi.waitUntil(async () => (await failure(connection)).code === 'ADDRESS_REFUSED');
    expect(accepted()).toBe(1);
  });

  test.each([
    '169.254.169.254',
    'fd00:ec2::254',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    'fe80::1%lo',
    '0.0.0.0',
  ])('a host name that resolves to %s is refused', async (address) => {
    const connection = open(named(6443), { lookup: resolveTo([address]) });
    expect((await failure(connection)).code).toBe('ADDRESS_REFUSED');
  });

  test('only the allowed addresses of a host name are dialled', async () => {
    const { port } = await standIn(ok);
    const connection = open(named(port), { lookup: resolveTo(['169.254.169.254', '127.0.0.1']) });
    expect((await connection.call('/version')).status).toBe(200);
  });

  test('loopback is refused if the policy does not allow it', async () => {
    const { target, port, accepted } = await standIn(ok);
    const policy = { allowLoopback: false };
    expect((await failure(open(target(), { policy }))).code).toBe('ADDRESS_REFUSED');
    expect((await failure(open(named(port), { policy, lookup: resolveTo(['127.0.0.1']) }))).code).toBe(
      'ADDRESS_REFUSED',
    );
    expect(accepted()).toBe(0);
  });

  test('a proxy opens the tunnel, and TLS verifies the cluster through it', async () => {
    const { port } = await standIn(ok);
    const proxy = await standInProxy();
    const connection = open({ ...named(port), proxyURL: proxy.url });
    expect((await connection.call('/version')).status).toBe(200);
    expect(proxy.tunnels).toEqual([`cluster.test:${port}`]);
    const wrong = open({ ...named(port), caData: createAuthority().certificate, proxyURL: proxy.url });
    expect((await failure(wrong)).code).toBe('WRONG_CA');
  });

  test('a proxy that fails or refuses is reported as PROXY', async () => {
    const proxy = await standInProxy(407);
    expect((await failure(open({ ...named(6443), proxyURL: proxy.url }))).code).toBe('PROXY');
    const dead = `http://127.0.0.1:${await refusingPort()}`;
    expect((await failure(open({ ...named(6443), proxyURL: dead }))).code).toBe('PROXY');
  });

  test('a proxy at a forbidden address is refused, and so is a forbidden address behind a proxy', async () => {
    const lookup = resolveTo(['169.254.169.254']);
    const byName = open({ ...named(6443), proxyURL: 'http://proxy.test:3128' }, { lookup });
    expect((await failure(byName)).code).toBe('ADDRESS_REFUSED');
    const { url, tunnels } = await standInProxy();
    const byAddress = open({ ...named(6443), proxyURL: 'http://169.254.169.254:3128' });
    expect((await failure(byAddress)).code).toBe('ADDRESS_REFUSED');
    const behind = open({ ...named(6443), server: 'https://169.254.169.254', proxyURL: url });
    expect((await failure(behind)).code).toBe('ADDRESS_REFUSED');
    expect(tunnels).toEqual([]);
  });

  test('no path escapes the path prefix of the server URL', async () => {
    const { target, requests, server } = await standIn(ok);
    const connection = open(target({ server: `${server}/k8s/clusters/c-1` }));
    await connection.call('/api/v1/pods?labelSelector=a%2Fb&continue=..%2F');
    expect(requests).toEqual(['GET /k8s/clusters/c-1/api/v1/pods?labelSelector=a%2Fb&continue=..%2F']);
    const climbing = [
      'version',
      '//x',
      '/a/../b',
      '/..',
      '/a/%2e%2E/b',
      '/a%2fb',
      '/a\\b',
      '/a b',
      '/a\r\nb',
      '/a/./b',
      '/%zz',
      '/#a',
    ];
    for (const path of climbing) expect((await failure(connection, {}, path)).code).toBe('UNKNOWN');
    expect(requests).toHaveLength(1);
  });
});

describe('the lifetime of a connection', () => {
  test('concurrent calls share at most five sockets', async () => {
    const { target, accepted, requests } = await standIn(ok);
    const connection = open(target());
    for (let call = 0; call < 3; call += 1) await connection.call('/version');
    expect(accepted()).toBe(1);
    await Promise.all(Array.from({ length: 40 }, () => connection.call('/version')));
    expect(requests).toHaveLength(43);
    expect(accepted()).toBe(MAX_SOCKETS);
  });

  test('aborting a call ends it immediately, even before the connection is established', async () => {
    const silent = await rawStandIn(() => {});
    const answering = await standIn(() => {});
    for (const { target, sockets } of [silent, answering]) {
      const abort = new AbortController();
      const failed = failure(open(target()), { signal: abort.signal });
      await vi.waitUntil(() => sockets.size > 0);
      const begin = performance.now();
      abort.abort();
      expect((await failed).code).toBe('CANCELLED');
      expect(performance.now() - begin).toBeLessThan(atLoad(CONNECT_TIMEOUT_MS / 2));
      expect((await failure(open(target()), { signal: abort.signal })).code).toBe('CANCELLED');
    }
  });

  test('closing a connection ends its calls and sockets, and closing it again does nothing', async () => {
    const silent = await rawStandIn(() => {});
    const answering = await standIn(() => {});
    for (const { target, sockets } of [silent, answering]) {
      const connection = open(target());
      const failed = failure(connection);
      await vi.waitUntil(() => sockets.size > 0);
      await Promise.all([connection.close(), connection.close()]);
      expect((await failed).code).toBe('CLOSED');
      expect((await failure(connection)).code).toBe('CLOSED');
      await vi.waitUntil(() => sockets.size === 0);
    }
  });

  test('a connection works again after the API server restarts', async () => {
    const { target, cut, sockets } = await standIn(ok);
    const connection = open(target());
    await connection.call('/version');
    const [socket] = sockets;
    cut();
    if (socket && !socket.closed) await once(socket, 'close');
    await vi.waitUntil(() =>
      connection.call('/version').then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  });

  test('a GET is repeated once on a new socket if a reused socket is closed before any byte of the response', async () => {
    const answer = vi.fn<RequestListener>(ok);
    const { target, requests, accepted } = await standIn(answer);
    const connection = open(target());
    await connection.call('/version');
    answer.mockImplementationOnce(({ socket }) => socket.destroy());
    expect((await connection.call('/again')).status).toBe(200);
    expect(requests).toEqual(['GET /version', 'GET /again', 'GET /again']);
    expect(accepted()).toBe(2);
    answer.mockImplementation(({ socket }) => socket.destroy());
    expect((await failure(connection, {}, '/lost')).code).toBe('CONNECTION_LOST');
    expect(requests.filter((request) => request === 'GET /lost').length).toBeLessThanOrEqual(2);
  });

  test('a POST on a reused socket, and a GET whose response has begun, are not repeated', async () => {
    const answer = vi.fn<RequestListener>(ok);
    const { target, requests } = await standIn(answer);
    const connection = open(target());
    await connection.call('/version');
    answer.mockImplementationOnce(({ socket }) => socket.destroy());
    expect((await failure(connection, { method: 'POST', body: {} }, '/post')).code).toBe('CONNECTION_LOST');
    await connection.call('/version');
    answer.mockImplementationOnce((_, response) => {
      response.writeHead(200, { 'content-length': '5' }).write('x', () => response.destroy());
    });
    expect((await failure(connection, {}, '/begun')).code).toBe('CONNECTION_LOST');
    expect(requests).toEqual(['GET /version', 'POST /post', 'GET /version', 'GET /begun']);
  });

  test('a GET on a socket that was idle is repeated on a new one if no byte arrives within two seconds', async () => {
    const answer = vi.fn<RequestListener>(ok);
    const { target, requests, accepted } = await standIn(answer);
    const connection = open(target());
    await connection.call('/version');
    const now = performance.now.bind(performance);
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 60_000);
    onTestFinished(() => clock.mockRestore());
    answer.mockImplementationOnce(() => {});
    expect((await connection.call('/silent')).status).toBe(200);
    expect(requests).toEqual(['GET /version', 'GET /silent', 'GET /silent']);
    expect(accepted()).toBe(2);
  });

  test('a timeout says what happened and how many seconds passed', async () => {
    const silent = await rawStandIn(() => {});
    expect((await failure(open(silent.target()), { timeoutMs: 1_200 })).message).toBe(
      `${silent.server} accepted the connection, but did not complete the TLS handshake within 1.2 s`,
    );
    const slow = await standIn(() => {});
    expect((await failure(open(slow.target()), { timeoutMs: 1_200 })).message).toBe(
      `${slow.server} did not respond within 1.2 s`,
    );
  });

  test('a trailing dot of the host name is not sent as the server name', async () => {
    const { port, names } = await namingStandIn();
    const server = `https://cluster.test.:${port}`;
    const target = { server, caData: authority.certificate, insecureSkipTlsVerify: false };
    expect((await open(target, { lookup: resolveTo(['127.0.0.1']) }).call('/version')).status).toBe(200);
    expect(names).toEqual(['cluster.test']);
  });

  test('a connection requests the token for every call', async () => {
    const { target } = await standIn(({ headers }, response) =>
      answerWith(response, 200, { seen: headers.authorization }),
    );
    const tokens = ['first', 'second'];
    const connection = open(target(), { token: async () => tokens.shift() ?? '' });
    expect(await connection.read('/version')).toEqual({ seen: 'Bearer first' });
    expect(await connection.read('/version')).toEqual({ seen: 'Bearer second' });
  });
});

describe('the sentence about a TLS error', () => {
  const sentence = (code: string, message = '') =>
    clusterErrorOf(Object.assign(new Error(message), { code }), { server: 'https://c' }).message;

  test.each([
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'https://c does not accept the client certificate: no CA'],
    ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'https://c does not accept the client certificate'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'https://c requires a client certificate'],
    ['ERR_SSL_TLSV1_UNRECOGNIZED_NAME', 'https://c does not know the host name'],
    ['ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER', 'https://c aborted the TLS handshake (illegal parameter)'],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'https://c supports neither TLS 1.2 nor TLS 1.3'],
    ['ERR_SSL_DECRYPTION_FAILED', 'the TLS handshake with https://c failed (decryption failed)'],
    ['INVALID_PURPOSE', 'the certificate of https://c is not a server certificate'],
    ['CERT_REVOKED', 'the certificate of https://c was revoked'],
  ])('%s has a sentence', (code, expected) => {
    expect(sentence(code)).toContain(expected);
  });

  test('a verification result without a code of its own has a sentence', () => {
    expect(sentence('UNSPECIFIED', 'EE certificate key too weak')).toBe(
      'the certificate of https://c cannot be verified: its key too weak',
    );
    expect(sentence('UNSPECIFIED', `<${token}>`)).not.toContain(token);
  });

  test('the weak key of a server is named', async () => {
    const certificate = authority.issue({ commonName: 'x', altNames, keyType: 'RSA-1024' });
    const { target } = await rawStandIn((socket) => weakTls(socket, certificate));
    expect((await failure(open(target()))).message).toContain('cannot be verified: its key too weak');
  });
});

test('an unexpected error becomes a fault that does not quote its message', () => {
  const fault = faultOf(new Error(`boom ${token}`));
  expect(fault.code).toBe('UNKNOWN');
  expect(fault.message).not.toContain(token);
});
