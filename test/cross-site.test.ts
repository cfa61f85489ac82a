import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { freshApp, send } from './support/wire.ts';

const FRIEND = 'https://console.example.com';
const query = '{"query":"{ __typename }"}';
const cors = (headers: Record<string, unknown>) =>
  Object.keys(headers).filter((name) => name.startsWith('access-control-'));

let app: TestApp;
let host: string;
/** The session cookie of a signed-in user. */
let Cookie: string;
beforeAll(async () => {
  app = await startApp({ ALLOWED_ORIGINS: `${FRIEND},http://localhost:3000` });
  host = new URL(app.url).host;
  const first = { username: 'ada', password: 'correct horse battery' };
  const { headers } = await app.rest('POST', '/api/v1/admin/users/create_super_user', first, {});
  Cookie = headers.get('set-cookie')?.split(';')[0] ?? '';
});
afterAll(() => app.close());

/**
 * Sends a request to /graphql, which also serves anonymous callers, so that a refusal can only be due to the origin.
 */
const sendGraphQL = (headers: Record<string, string>, body: string | undefined = query, method = 'POST', to = app) =>
  send(to, { method, path: '/graphql', headers, ...(body === undefined ? {} : { body }) });
const asJson = { 'Content-Type': 'application/json' };

describe('a request without an API key', () => {
  it.each([
    ...['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x', 'application/jsonp', 'x'],
    ...['text/plain; a=application/json', 'application/graphql', 'application/json-patch+json', ''],
  ])('rejects a request without an API key whose content type is not JSON: %j', async (type) => {
    for (const who of [{}, { Cookie }]) expect((await sendGraphQL({ ...who, 'Content-Type': type })).status).toBe(415);
    expect((await sendGraphQL({})).status).toBe(415);
  });

  it.each(['application/json', 'application/json; charset=utf-8'])(
    'accepts a request without an API key with content type %s',
    async (type) => {
      expect((await sendGraphQL({ 'Content-Type': type })).status).toBe(200);
    },
  );

  it('rejects a request without an API key if Sec-Fetch-Site shows another site', async () => {
    for (const site of ['cross-site', 'same-site', 'unknown', ''])
      expect([site, (await sendGraphQL({ ...asJson, 'Sec-Fetch-Site': site })).status]).toEqual([site, 403]);
    for (const site of ['same-origin', 'none'])
      expect([site, (await sendGraphQL({ ...asJson, 'Sec-Fetch-Site': site })).status]).toEqual([site, 200]);
  });

  it('rejects a request without an API key from a foreign Origin', async () => {
    const port = Number(new URL(app.url).port);
    const foreign = ['http://evil.example', 'null', '', `http://127.0.0.1:${port + 1}`, `http://localhost:${port}`];
    for (const Origin of [...foreign, `http://${host}.evil.example`, `http://${host}@evil.example`, host])
      expect([Origin, (await sendGraphQL({ ...asJson, Origin })).status]).toEqual([Origin, 403]);
    for (const Origin of [`http://${host}`, `https://${host}`])
      expect([Origin, (await sendGraphQL({ ...asJson, Origin })).status]).toEqual([Origin, 200]);
  });

  it('rejects a cross-site request before reading its body, even if it has none', async () => {
    const foreign = { Origin: 'http://evil.example' };
    expect((await sendGraphQL({ ...foreign, 'Content-Type': 'text/plain' }, 'x')).status).toBe(403);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'])
      expect((await send(app, { method, path: '/graphql', headers: foreign })).status).toBe(403);
  });

  it('GET never executes a mutation', async () => {
    const mutation = encodeURIComponent('mutation { deleteCluster(input: {by: {databaseId: 1}}) { __typename } }');
    for (const headers of [{}, { Authorization: app.admin }])
      expect((await send(app, { path: `/graphql?query=${mutation}`, headers })).status).toBe(405);
  });

  it('a session cookie changes data only with JSON from our own page', async () => {
    const create = (name: string, headers: Record<string, string>) =>
      send(app, { method: 'POST', path: CLUSTERS, headers: { Cookie, ...headers }, body: JSON.stringify({ name }) });
    for (const headers of [{ Origin: 'http://evil.example' }, { Origin: FRIEND }, { 'Sec-Fetch-Site': 'cross-site' }])
      expect((await create('forged', { ...asJson, ...headers })).status).toBe(403);
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
      expect((await create('forged', { 'Content-Type': type })).status).toBe(415);
    const logout = { method: 'POST', path: '/api/auth/logout', headers: { Cookie, Origin: 'http://evil.example' } };
    expect((await send(app, logout)).status).toBe(403);
    expect(
      (await create('ours', { ...asJson, Origin: `http://${host}`, 'Sec-Fetch-Site': 'same-origin' })).status,
    ).toBe(201);
    expect((await app.rest('GET', CLUSTERS)).body.map(({ name }: { name: string }) => name)).toEqual(['ours']);
  });

  it('anonymous cross-site requests to REST get 401', async () => {
    const headers = { Origin: 'http://evil.example', 'Content-Type': 'text/plain' };
    const { status } = await send(app, { method: 'POST', path: CLUSTERS, headers, body: '{}' });
    expect(status).toBe(401);
  });
});

it('accepts a cross-site request with an API key, because browsers never add one on their own', async () => {
  const headers = { Authorization: app.admin, Origin: 'http://evil.example', 'Sec-Fetch-Site': 'cross-site' };
  const { status, headers: answered } = await send(app, { path: CLUSTERS, headers });
  expect([status, cors(answered)]).toEqual([200, []]);
  expect((await sendGraphQL({ ...headers, ...asJson })).status).toBe(200);
});

describe('CORS', () => {
  const preflight = (Origin: string, path = CLUSTERS, to = app) =>
    send(to, { method: 'OPTIONS', path, headers: { Origin, 'Access-Control-Request-Method': 'PUT' } });

  it('an origin in ALLOWED_ORIGINS gets the CORS headers, but never with credentials', async () => {
    for (const Origin of [FRIEND, 'http://localhost:3000'])
      for (const { status, headers } of [await preflight(Origin), await preflight(Origin, '/graphql')]) {
        expect([status, headers['access-control-allow-origin']]).toEqual([204, Origin]);
        expect(headers['access-control-allow-headers']).toMatch(
          /^Authorization, Content-Type, Accept, Apollo-Require-Preflight, .*apollographql-client-name/,
        );
        expect(headers).not.toHaveProperty('access-control-allow-credentials');
        expect(headers.vary).toContain('Origin');
      }
    const headers = { Origin: FRIEND, 'Sec-Fetch-Site': 'cross-site', ...asJson };
    for (const answer of [await sendGraphQL(headers), await sendGraphQL({ ...headers, Authorization: app.admin })]) {
      expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([200, FRIEND]);
      expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
    }
    expect((await sendGraphQL({ ...headers, 'Content-Type': 'text/plain' })).status).toBe(415);
  });

  it('an allowed origin can read why its request was rejected', async () => {
    const { status, headers } = await send(app, { path: CLUSTERS, headers: { Origin: FRIEND } });
    expect([status, headers['access-control-allow-origin']]).toEqual([401, FRIEND]);
  });

  it('an allowed origin cannot use the cookies of a user', async () => {
    expect((await sendGraphQL({ Origin: FRIEND, Cookie, ...asJson })).status).toBe(403);
  });

  it('an origin gets CORS headers only on an exact match', async () => {
    const near = [
      'https://console.example.com.',
      'http://console.example.com',
      'https://console.example.com:444',
      'null',
    ];
    for (const Origin of [
      ...near,
      'https://CONSOLE.example.com',
      'https://evil.console.example.com',
      `${FRIEND}/`,
      '*',
    ])
      for (const { headers } of [await preflight(Origin), await sendGraphQL({ Origin, ...asJson })])
        expect([Origin, cors(headers)]).toEqual([Origin, []]);
  });

  it('no origin gets CORS headers by default', async () => {
    const closed = await freshApp();
    for (const Origin of [FRIEND, 'null', closed.url]) {
      expect(cors((await preflight(Origin, CLUSTERS, closed)).headers)).toEqual([]);
      expect(cors((await sendGraphQL({ Origin, ...asJson }, query, 'POST', closed)).headers)).toEqual([]);
    }
  });
});
