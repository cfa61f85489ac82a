import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { serve } from '../src/app.ts';
import { openLog } from '../src/log.ts';
import { CostBudget } from '../src/server/cost-budget.ts';
import { listen } from '../src/server/listen.ts';
import { createMetricsServer } from '../src/server/metrics-server.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { atLoad } from './support/load.ts';
import { runCommand } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';
import { freshApp, send, sendBytes, subscribe } from './support/wire.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ ALLOWED_ORIGINS: 'https://console.example.com' });
});
afterAll(() => app.close());

const NONE = "default-src 'none'; frame-ancestors 'none'";
const html = { Accept: 'text/html' };

describe('security headers', () => {
  const admin = () => ({ Authorization: app.admin });
  it.each([
    ['a list', 200, () => ({ path: CLUSTERS, headers: admin() })],
    ['a stranger', 401, () => ({ path: CLUSTERS })],
    ['a path that is none', 404, () => ({ path: '/api/none', headers: admin() })],
    ['a path that is none, elsewhere', 404, () => ({ path: '/none' })],
    ['a method that is none', 405, () => ({ method: 'PATCH', path: CLUSTERS, headers: admin() })],
    ['a body that is none', 400, () => ({ method: 'POST', path: CLUSTERS, headers: admin(), body: '{' })],
    ['a query', 200, () => ({ path: '/graphql?query={__typename}' })],
    ['a document that is none', 200, () => ({ path: '/graphql?query={' })],
    [
      'a preflight',
      204,
      () => ({ method: 'OPTIONS', path: CLUSTERS, headers: { 'Access-Control-Request-Method': 'PUT' } }),
    ],
    ['the way home', 302, () => ({ path: '/' })],
    ['health', 200, () => ({ path: '/healthz' })],
    ['readiness', 200, () => ({ path: '/readyz' })],
    ['the metrics', 200, () => ({ path: '/metrics', headers: admin() })],
    ['another host', 421, () => ({ path: '/healthz', headers: { Host: 'evil.example' } })],
    ['the providers', 200, () => ({ path: '/api/auth/providers' })],
    ['a wrong password', 401, () => signIn({ username: 'nobody', password: 'wrong password' })],
    ['the document of the routes', 200, () => ({ path: '/openapi.json' })],
  ] as [string, number, () => Parameters<typeof send>[1]][])(
    'the response to %s (%i) has the security headers',
    async (_, status, request) => {
      const answer = await send(app, request());
      expect(answer.status).toBe(status);
      expect(answer.headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cross-origin-resource-policy': 'same-origin',
        'cross-origin-opener-policy': 'same-origin',
        'content-security-policy': NONE,
      });
      for (const header of ['strict-transport-security', 'x-powered-by', 'server'])
        expect(answer.headers).not.toHaveProperty(header);
    },
  );

  it('a cached response has the security headers, complete and as 304', async () => {
    const requestList = (headers = {}) =>
      send(app, { path: CLUSTERS, headers: { Authorization: app.admin, ...headers } });
    // The third response comes from the cache, which the second request filled.
    const [first, , third] = [await requestList(), await requestList(), await requestList()];
    const { headers } = third;
    const own = { date: undefined, 'x-request-id': undefined };
    expect({ ...third, headers: { ...headers, ...own } }).toEqual({ ...first, headers: { ...first.headers, ...own } });
    expect(headers['content-security-policy']).toBe(NONE);
    const again = await requestList({ 'If-None-Match': String(headers.etag) });
    expect([again.status, again.headers['content-security-policy']]).toEqual([304, NONE]);
  });

  it('an event stream has the security headers', async () => {
    const stream = await subscribe(app, 'subscription { clusterChanged { __typename } }', { Authorization: app.admin });
    expect(stream.headers.get('content-security-policy')).toBe(NONE);
    await stream.body?.cancel();
  });

  it('an HTML page has a content security policy that allows nothing foreign', async () => {
    for (const path of ['/graphql', '/openapi']) {
      const policy = String((await send(app, { path, headers: html })).headers['content-security-policy']);
      expect(policy).toMatch(/^default-src 'none'.*frame-ancestors 'none'/);
      expect(policy).not.toMatch(/https?:|\*|unsafe-eval/);
    }
  });

  it('the separate metrics port sends the security headers', async () => {
    const server = createMetricsServer(app.domain.metrics, {
      log: await openLog({ level: 'silent', pretty: false }),
      ...{ loopback: true, allowedHosts: [] },
    });
    const stop = await listen(server, { host: '127.0.0.1', port: 0 });
    onTestFinished(stop);
    const { port } = server.address() as AddressInfo;
    for (const path of ['/metrics', '/none'])
      expect((await fetch(`http://127.0.0.1:${port}${path}`)).headers.get('content-security-policy')).toBe(NONE);
  });
});

const signIn = (body: object, headers: Record<string, string> = {}) => ({
  method: 'POST',
  path: '/api/auth/login/password',
  headers: { 'Content-Type': 'application/json', ...headers },
  body: JSON.stringify(body),
});

const createSuperUser = (headers: Record<string, string> = {}) => ({
  method: 'POST',
  path: '/api/v1/admin/users/create_super_user',
  headers: { 'Content-Type': 'application/json', ...headers },
  body: JSON.stringify({ username: 'ada', password: 'correct horse battery' }),
});

describe('TRUSTED_PROXIES', () => {
  let proxied: TestApp;
  let count = 0;
  beforeAll(async () => {
    proxied = await startApp({ TRUSTED_PROXIES: '127.0.0.1, 10.0.0.0/8, fd00::/8' });
  });
  afterAll(() => proxied.close());

  /** The address in the audit record of a change that was requested with these headers. */
  async function addressOf(to: TestApp, headers: Record<string, string>): Promise<string | null | undefined> {
    const name = `from-${++count}`;
    const body = JSON.stringify({ name });
    const { status } = await send(to, {
      method: 'POST',
      path: CLUSTERS,
      headers: { Authorization: to.admin, ...headers },
      body,
    });
    expect(status).toBe(201);
    return (await to.domain.database.prisma.auditRecord.findFirst({ where: { clusterName: name } }))?.address;
  }

  it.each([
    [{}, '127.0.0.1'],
    [{ 'X-Forwarded-For': '203.0.113.7' }, '203.0.113.7'],
    [{ 'X-Forwarded-For': '198.51.100.1, 203.0.113.7' }, '203.0.113.7'],
    [{ 'X-Forwarded-For': '198.51.100.1, 203.0.113.7, 10.1.2.3' }, '203.0.113.7'],
    [{ 'X-Forwarded-For': '10.9.9.9, 10.1.2.3' }, '10.9.9.9'],
    [{ 'X-Forwarded-For': '203.0.113.7:4711' }, '203.0.113.7'],
    [{ 'X-Forwarded-For': '[2001:db8::7]:4711, fd00::1' }, '2001:db8::7'],
    [{ 'X-Forwarded-For': '::FFFF:203.0.113.7' }, '203.0.113.7'],
    [{ 'X-Forwarded-For': 'unknown, 10.1.2.3' }, '10.1.2.3'],
    [{ 'X-Forwarded-For': "'; DROP TABLE" }, '127.0.0.1'],
    [{ Forwarded: 'for=198.51.100.1, for=203.0.113.7;proto=https' }, '203.0.113.7'],
    [{ Forwarded: 'For="[2001:db8::7]:4711"' }, '2001:db8::7'],
    [{ Forwarded: 'for=_hidden' }, '127.0.0.1'],
    [{ Forwarded: 'for=203.0.113.7', 'X-Forwarded-For': '203.0.113.7' }, '203.0.113.7'],
    [{ Forwarded: 'for=198.51.100.1', 'X-Forwarded-For': '203.0.113.7' }, '127.0.0.1'],
    [{ 'X-Real-IP': '203.0.113.7', 'Client-IP': '203.0.113.7' }, '127.0.0.1'],
  ] as [Record<string, string>, string][])('a request with %j is attributed to %s', async (headers, address) => {
    expect(await addressOf(proxied, headers)).toBe(address);
  });

  it('forwarded headers are ignored by default', async () => {
    expect(await addressOf(app, { 'X-Forwarded-For': '203.0.113.7' })).toBe('127.0.0.1');
    expect(await addressOf(app, { Forwarded: 'for=203.0.113.7' })).toBe('127.0.0.1');
    const { headers } = await send(app, { path: '/healthz', headers: { 'X-Forwarded-Proto': 'https' } });
    expect(headers).not.toHaveProperty('strict-transport-security');
  });

  it.each([
    [{ 'X-Forwarded-Proto': 'https' }, true],
    [{ 'X-Forwarded-Proto': 'http, https' }, true],
    [{ 'X-Forwarded-Proto': 'https, http' }, false],
    [{ 'X-Forwarded-Proto': 'http' }, false],
    [{ Forwarded: 'for=203.0.113.7;proto=https' }, true],
    [{ Forwarded: 'proto=http', 'X-Forwarded-Proto': 'https' }, false],
    [{}, false],
  ] as [Record<string, string>, boolean][])('with %j, the request counts as TLS: %s', async (headers, secure) => {
    const healthy = await send(proxied, { path: '/healthz', headers });
    expect(healthy.headers['strict-transport-security']).toBe(secure ? 'max-age=31536000' : undefined);
  });

  it('a request through a proxy never counts as local, so it cannot use a weak key or the first setup', async () => {
    const weak = await freshApp({ TRUSTED_PROXIES: '127.0.0.1', ADMIN_API_KEY: 'kite900-weak' });
    const local = { Authorization: 'kite900-weak' };
    expect((await send(weak, { path: CLUSTERS, headers: local })).status).toBe(200);
    for (const headers of [
      { 'X-Forwarded-For': '127.0.0.1' },
      { Forwarded: 'for=127.0.0.1' },
      { 'X-Forwarded-Proto': 'https' },
    ]) {
      expect((await send(weak, { path: CLUSTERS, headers: { ...local, ...headers } })).status).toBe(401);
      expect((await send(weak, createSuperUser(headers))).status).toBe(403);
    }
    expect((await send(weak, createSuperUser())).status).toBe(201);
  });

  it.each(
    [
      'Akamai-Origin-Hop, CDN-Loop, CF-Ray, CF-Visitor, Client-IP, CloudFront-Viewer-Address, DO-Connecting-IP, Fastly-Client-IP',
      'Fly-Client-IP, Forwarded-For, Proxy-Connection, True-Client-IP, Via, WL-Proxy-Client-IP, X-Amzn-Trace-Id',
      'X-Appengine-User-IP, X-Azure-ClientIP, X-Azure-FDID, X-Azure-SocketIP, X-Client-IP, X-Cluster-Client-IP',
      'X-Envoy-External-Address, X-Forwarded, X-Forwarded-Host, X-Originating-IP, X-ProxyUser-Ip, X-Real-IP',
      'X-Remote-Addr, X-Remote-IP, X-Vercel-Forwarded-For',
    ].map((names) => [names]),
  )('a request with any of these headers counts as forwarded: %s', async (names) => {
    const weak = await freshApp({ ADMIN_API_KEY: 'kite900-weak' });
    const local = { Authorization: 'kite900-weak' };
    for (const name of names.split(', ')) {
      const headers = { [name]: '203.0.113.7' };
      const { status } = await send(weak, { path: CLUSTERS, headers: { ...local, ...headers } });
      expect([name, status, (await send(weak, createSuperUser(headers))).status]).toEqual([name, 401, 403]);
    }
    // Headers that a local program may send do not indicate a proxy.
    const own = { 'X-Request-Id': 'a', Traceparent: 'b', 'X-Requested-With': 'c', 'User-Agent': 'd' };
    expect((await send(weak, { path: CLUSTERS, headers: { ...local, ...own } })).status).toBe(200);
  });

  it('the forwarded protocol decides whether the session cookie is Secure', async () => {
    expect((await send(proxied, createSuperUser())).status).toBe(201);
    const ada = { username: 'ada', password: 'correct horse battery' };
    const cookieOf = async (headers: Record<string, string>) => {
      const { status, headers: answered } = await send(proxied, signIn(ada, headers));
      expect(status).toBe(204);
      return String(answered['set-cookie']);
    };
    expect(await cookieOf({ 'X-Forwarded-Proto': 'https' })).toMatch(/^auth_token=.*HttpOnly.*SameSite=Lax.*Secure/);
    expect(await cookieOf({ 'X-Forwarded-Proto': 'http' })).not.toContain('Secure');
  });

  it('failed sign-ins are throttled per forwarded address', async () => {
    const fail = (to: TestApp, address: string, username: string) =>
      send(to, signIn({ username, password: 'wrong password' }, { 'X-Forwarded-For': address }));
    for (let round = 0; round < 5; round++)
      expect((await fail(proxied, '203.0.113.50', `user-${round}`)).status).toBe(401);
    expect((await fail(proxied, '203.0.113.50', 'user-5')).status).toBe(429);
    expect((await fail(proxied, '203.0.113.51', 'user-6')).status).toBe(401);
    // Without trusted proxies, a made-up forwarded address does not count as another address.
    const open = await freshApp();
    for (let round = 0; round < 5; round++) await fail(open, `203.0.113.${round}`, `user-${round}`);
    expect((await fail(open, '203.0.113.60', 'user-6')).status).toBe(429);
  });
});

describe('an oversized request', () => {
  it('a request with too many header fields gets 431, and no field is skipped', async () => {
    const manyHeaders = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x${index}`, '1']));
    expect((await send(app, { path: '/healthz', headers: manyHeaders(90) })).status).toBe(200);
    expect((await send(app, { path: '/healthz', headers: manyHeaders(100) })).status).toBe(431);
    // More fields than Node reads by default, placed before the header that makes a weak key invalid.
    const weak = await freshApp({ ADMIN_API_KEY: 'kite900-weak' });
    const filling = 'a:\r\n'.repeat(2_100);
    const head = `GET ${CLUSTERS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: kite900-weak\r\n`;
    expect(await sendBytes(weak, `${head}\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
    expect(await sendBytes(weak, `${head}${filling}X-Forwarded-For: 203.0.113.7\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
  });

  it('a request with a large head gets 431', async () => {
    expect((await send(app, { path: '/healthz', headers: { filling: 'a'.repeat(15_000) } })).status).toBe(200);
    expect((await send(app, { path: '/healthz', headers: { filling: 'a'.repeat(17_000) } })).status).toBe(431);
  });

  it('a request with a long URL gets 414 from REST and GraphQL', async () => {
    for (const path of ['/healthz', CLUSTERS, '/graphql'])
      expect(
        (await send(app, { path: `${path}?${'a'.repeat(8_192)}`, headers: { Authorization: app.admin } })).status,
      ).toBe(414);
    expect((await send(app, { path: `/healthz?${'a'.repeat(8_000)}` })).status).toBe(200);
  });

  it('a request with a large body gets 413 before the body is sent', async () => {
    for (const path of [CLUSTERS, '/graphql']) {
      const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: ${app.admin}\r\nContent-Type: application/json\r\n`;
      expect(await sendBytes(app, `${head}Content-Length: 5000000\r\n\r\n`)).toMatch(/^HTTP\/1\.1 413 /);
    }
  });
});

describe('slow clients', () => {
  it('a client that sends head or body slowly gets 408 and does not block others', async () => {
    const limits = { headersTimeoutMs: 300, requestTimeoutMs: 600, checkingMs: 50 };
    const impatient = await serve(app.config, await openLog({ level: 'silent', pretty: false }), app.domain, {
      limits,
    });
    const { hostname: host, port } = new URL(impatient.url);
    const slow = (bytes: string) => {
      const socket = connect({ host, port: Number(port) });
      socket.write(bytes);
      return text(socket);
    };
    const head = `POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
    const answers = Promise.all([
      slow('GET /healthz HTTP/1.1\r\nHost: loc'),
      slow(`${head}Content-Length: 100\r\n\r\n{`),
    ]);
    expect((await fetch(`${impatient.url}/healthz`)).status).toBe(200);
    for (const answer of await answers) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('connections above the limit are closed', async () => {
    const own = await startApp();
    const few = await serve(own.config, await openLog({ level: 'silent', pretty: false }), own.domain, {
      limits: { connections: 3 },
    });
    const { hostname: host, port } = new URL(few.url);
    const open = () => connect({ host, port: Number(port) });
    const held = Array.from({ length: 3 }, open);
    onTestFinished(async () => {
      for (const socket of held) socket.destroy();
      await own.close();
    });
    await Promise.all(held.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    expect(await text(open())).toBe('');
    const [first] = held;
    first?.destroy();
    await vi.waitFor(async () => expect((await fetch(`${few.url}/healthz`)).status).toBe(200), { timeout: 5_000 });
  });
});

describe('the GraphQL cost budget', () => {
  const DOCUMENT = '{ clusters(first: 100) { nodes { id name } } }';

  it('a caller over the budget gets 429, a code and Retry-After', async () => {
    const thrifty = await freshApp({ GRAPHQL_COST_PER_MINUTE: '3000' });
    let asked = 0;
    let refused = await thrifty.graphql(DOCUMENT, { unused: asked });
    // The minute may change meanwhile. A budget that is never exhausted fails the test.
    while (refused.status === 200 && asked < 100) refused = await thrifty.graphql(DOCUMENT, { unused: ++asked });
    expect([refused.status, refused.errors?.[0].extensions.code]).toEqual([429, 'RATE_LIMITED']);
    const seconds = Number(refused.headers.get('retry-after'));
    expect(seconds >= 1 && seconds <= 60).toBe(true);
    expect(refused.data ?? null).toBeNull();
    // Other callers have budgets of their own, and REST has none.
    expect((await thrifty.graphql(DOCUMENT, {}, { Authorization: thrifty.keyWithoutRole })).status).toBe(200);
    expect((await thrifty.graphql('{ viewer { name } }', {}, {})).status).toBe(200);
    expect((await thrifty.rest('GET', CLUSTERS)).status).toBe(200);
  });

  it('a subscription is charged, and a limit of 0 means unlimited', async () => {
    const thrifty = await freshApp({ GRAPHQL_COST_PER_MINUTE: '1' });
    const stream = await subscribe(
      thrifty,
      'subscription { clusterChanged { __typename ... on ClusterUpserted { cluster { id name } } } }',
      { Authorization: thrifty.admin },
    );
    expect(await stream.text()).toContain('RATE_LIMITED');
    const lavish = await freshApp({ GRAPHQL_COST_PER_MINUTE: '0' });
    expect((await lavish.graphql(DOCUMENT)).status).toBe(200);
  });

  it('the budget is refilled every minute, and is per user for all keys and per network for anonymous callers', () => {
    let now = 60_000 * 1_000;
    const budget = new CostBudget({ perMinute: 10, now: () => now });
    const anonymous = (address: string) => ({ viewer: null, address });
    const key = (id: string, userId?: number) => ({
      viewer: { kind: 'API_KEY' as const, id, name: id, roles: [], grants: [], userId },
    });
    expect(budget.take(key('api-key:1', 7), 10)).toBeUndefined();
    now += 15_000;
    expect(budget.take(key('api-key:2', 7), 1)).toBe(45);
    expect(budget.take(key('api-key:3'), 10)).toBeUndefined();
    expect(budget.take(anonymous('2001:db8:1:2::1'), 10)).toBeUndefined();
    expect(budget.take(anonymous('2001:db8:1:2:3:4:5:6'), 1)).toBe(45);
    expect(budget.take(anonymous('2001:db8:1:3::1'), 10)).toBeUndefined();
    expect(budget.take(anonymous('203.0.113.7'), 10)).toBeUndefined();
    expect(budget.take(anonymous('203.0.113.8'), 10)).toBeUndefined();
    now += 45_000;
    expect(budget.take(key('api-key:1', 7), 10)).toBeUndefined();
  });
});

describe('a malicious kubeconfig', () => {
  it('a kubeconfig never runs a command or reads a file, even when its cluster is probed', async () => {
    const directory = await temporaryDirectory();
    const trace = join(directory, 'trace');
    const secret = join(directory, 'secret');
    await writeFile(secret, 'a token that stands in a file');
    const texts = [
      kubeconfig({
        user: { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: '/usr/bin/touch', args: [trace] } },
      }),
      kubeconfig({
        user: { 'auth-provider': { name: 'gcp', config: { 'cmd-path': '/usr/bin/touch', 'cmd-args': trace } } },
      }),
      kubeconfig({
        user: { 'auth-provider': { name: 'x', config: { exec: { command: '/usr/bin/touch', args: [trace] } } } },
      }),
    ];
    const probing = await startApp({}, { probing: true });
    onTestFinished(() => probing.close());
    for (const [index, config] of texts.entries()) {
      expect((await probing.rest('POST', CLUSTERS, { name: `c${index}`, config })).status).toBe(201);
      await probing.graphql(
        'mutation ($t: String!) { testClusterConnection(input: { kubeconfig: { text: $t } }) { __typename } }',
        { t: config },
      );
      await probing.graphql(`mutation { probeCluster(input: { by: { name: "c${index}" } }) { __typename } }`);
    }
    // The response must not depend on whether the file exists.
    const errorTexts = new Set<string>();
    for (const file of [secret, join(directory, 'none'), '/etc/shadow'])
      for (const user of [{ tokenFile: file }, { 'client-certificate': file, 'client-key': file }]) {
        const name = `f${errorTexts.size}-${file.length}-${Object.keys(user).length}`;
        await probing.rest('POST', CLUSTERS, { name, config: kubeconfig({ user }) });
        const { body } = await probing.rest('GET', CLUSTERS);
        const { error } = body.find((cluster: { name: string }) => cluster.name === name);
        expect(error).not.toContain('a token that stands');
        errorTexts.add(error.replaceAll(file, ''));
      }
    expect(errorTexts.size).toBe(2);
    expect(existsSync(trace)).toBe(false);
  });

  it.each([
    [
      'an alias bomb',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 30 }, (_, i) => `${String.fromCharCode(98 + (i % 24))}${i}: &b${i} [${'*a,'.repeat(9)}*a]`).join('\n')}`,
    ],
    ['a large scalar', `users: "${'x'.repeat(3_900_000)}"`],
    ['another prototype', '{"__proto__": {"contexts": []}, "constructor": {"prototype": {"kind": "Config"}}}'],
    ['two documents', 'kind: Config\n---\nkind: Config\n'],
    ['nothing', 'null'],
  ])('quickly rejects a kubeconfig that is %s', async (_, config) => {
    const began = performance.now();
    const { data } = await app.graphql(
      'mutation ($t: String!) { createCluster(input: { name: "bad", credential: { kubeconfig: { text: $t } } }) { __typename } }',
      { t: config },
    );
    expect(data.createCluster.__typename).toBe('InvalidInputError');
    expect(performance.now() - began).toBeLessThan(atLoad(1_500));
    expect((await app.rest('POST', `${CLUSTERS}import`, { config })).status).toBeGreaterThanOrEqual(400);
    expect(Object.hasOwn(Object.prototype, 'contexts')).toBe(false);
  });
});

describe('a sealed value moved to another row', () => {
  it('a sealed value moved to another row cannot be decrypted, and seal verify names the row', async () => {
    const own = await freshApp();
    const config = kubeconfig();
    for (const name of ['mine', 'theirs']) await own.rest('POST', CLUSTERS, { name, config });
    const { prisma } = own.domain.database;
    const [mine, theirs] = await prisma.clusterCredential.findMany({ orderBy: { clusterId: 'asc' } });
    await prisma.clusterCredential.update({
      where: { clusterId: theirs?.clusterId ?? 0 },
      data: { sealed: mine?.sealed ?? '' },
    });
    const { code, stderr } = await runCommand(['seal', 'verify'], { dataDir: own.dataDir });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^"theirs" does not open: /)]);
    const { data, errors } = await own.graphql(
      'mutation { probeCluster(input: { by: { name: "theirs" } }) { __typename ... on ProbeClusterSuccess { cluster { status { state } } } } }',
    );
    expect([data?.probeCluster?.cluster?.status.state ?? errors?.[0].extensions.code]).not.toEqual(['READY']);
  });
});
