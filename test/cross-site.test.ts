import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { freshApp, send } from './support/wire.ts';

const FRIEND = 'https://console.example.com';
const query = '{"query":"{ __typename }"}';
const cors = (headers: Record<string, unknown>) =>
  Object.keys(headers).filter((name) => name.startsWith('access-control-'));

let app: TestApp;
let host: string;
/** The cookie of somebody who is signed in. */
let Cookie: string;
beforeAll(async () => {
  app = await startApp({ ALLOWED_ORIGINS: `${FRIEND},http://localhost:3000` });
  host = new URL(app.url).host;
  const first = { username: 'ada', password: 'correct horse battery' };
  const { headers } = await app.rest('POST', '/api/v1/admin/users/create_super_user', first, {});
  Cookie = headers.get('set-cookie')?.split(';')[0] ?? '';
});
afterAll(() => app.close());

/** Asks /graphql, where strangers get an answer, so that what is refused is refused for where it comes from. */
const ask = (headers: Record<string, string>, body: string | undefined = query, method = 'POST', to = app) =>
  send(to, { method, path: '/graphql', headers, ...(body === undefined ? {} : { body }) });
const asJson = { 'Content-Type': 'application/json' };

describe('a request that no API key vouches for', () => {
  it.each([
    ...['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x', 'application/jsonp', 'x'],
    ...['text/plain; a=application/json', 'application/graphql', 'application/json-patch+json', ''],
  ])('is refused with a body of a type that a page may send or that is no JSON: %j', async (type) => {
    for (const who of [{}, { Cookie }]) expect((await ask({ ...who, 'Content-Type': type })).status).toBe(415);
    expect((await ask({})).status).toBe(415);
  });

  it.each(['application/json', 'application/json; charset=utf-8'])('is read when its body is %s', async (type) => {
    expect((await ask({ 'Content-Type': type })).status).toBe(200);
  });

  it('is refused when its page is of another site', async () => {
    for (const site of ['cross-site', 'same-site', 'unknown', ''])
      expect([site, (await ask({ ...asJson, 'Sec-Fetch-Site': site })).status]).toEqual([site, 403]);
    for (const site of ['same-origin', 'none'])
      expect([site, (await ask({ ...asJson, 'Sec-Fetch-Site': site })).status]).toEqual([site, 200]);
  });

  it('is refused when its Origin is foreign', async () => {
    const port = Number(new URL(app.url).port);
    const foreign = ['http://evil.example', 'null', '', `http://127.0.0.1:${port + 1}`, `http://localhost:${port}`];
    for (const Origin of [...foreign, `http://${host}.evil.example`, `http://${host}@evil.example`, host])
      expect([Origin, (await ask({ ...asJson, Origin })).status]).toEqual([Origin, 403]);
    for (const Origin of [`http://${host}`, `https://${host}`])
      expect([Origin, (await ask({ ...asJson, Origin })).status]).toEqual([Origin, 200]);
  });

  it('is refused before its body is looked at, also without a body', async () => {
    const foreign = { Origin: 'http://evil.example' };
    expect((await ask({ ...foreign, 'Content-Type': 'text/plain' }, 'x')).status).toBe(403);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'])
      expect((await send(app, { method, path: '/graphql', headers: foreign })).status).toBe(403);
  });

  it('never changes anything by GET', async () => {
    const mutation = encodeURIComponent('mutation { deleteCluster(input: {by: {databaseId: 1}}) { __typename } }');
    for (const headers of [{}, { Authorization: app.admin }])
      expect((await send(app, { path: `/graphql?query=${mutation}`, headers })).status).toBe(405);
  });

  it('changes nothing with the cookie of a person, unless it is of our page and of JSON', async () => {
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

  it('is told that it is a stranger on the REST routes, wherever it comes from', async () => {
    const headers = { Origin: 'http://evil.example', 'Content-Type': 'text/plain' };
    const { status } = await send(app, { method: 'POST', path: CLUSTERS, headers, body: '{}' });
    expect(status).toBe(401);
  });
});

it('a request with an API key is read wherever it comes from, since no browser adds one by itself', async () => {
  const headers = { Authorization: app.admin, Origin: 'http://evil.example', 'Sec-Fetch-Site': 'cross-site' };
  const { status, headers: answered } = await send(app, { path: CLUSTERS, headers });
  expect([status, cors(answered)]).toEqual([200, []]);
  expect((await ask({ ...headers, ...asJson })).status).toBe(200);
});

describe('another origin', () => {
  const preflight = (Origin: string, path = CLUSTERS, to = app) =>
    send(to, { method: 'OPTIONS', path, headers: { Origin, 'Access-Control-Request-Method': 'PUT' } });

  it('gets in when ALLOWED_ORIGINS names it, with two headers and never with credentials', async () => {
    for (const Origin of [FRIEND, 'http://localhost:3000'])
      for (const { status, headers } of [await preflight(Origin), await preflight(Origin, '/graphql')]) {
        expect([status, headers['access-control-allow-origin']]).toEqual([204, Origin]);
        expect(headers['access-control-allow-headers']).toBe('Authorization, Content-Type');
        expect(headers).not.toHaveProperty('access-control-allow-credentials');
        expect(headers.vary).toContain('Origin');
      }
    const headers = { Origin: FRIEND, 'Sec-Fetch-Site': 'cross-site', ...asJson };
    for (const answer of [await ask(headers), await ask({ ...headers, Authorization: app.admin })]) {
      expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([200, FRIEND]);
      expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
    }
    expect((await ask({ ...headers, 'Content-Type': 'text/plain' })).status).toBe(415);
  });

  it('can read why it was refused', async () => {
    const { status, headers } = await send(app, { path: CLUSTERS, headers: { Origin: FRIEND } });
    expect([status, headers['access-control-allow-origin']]).toEqual([401, FRIEND]);
  });

  it('never acts with the cookies of a person', async () => {
    expect((await ask({ Origin: FRIEND, Cookie, ...asJson })).status).toBe(403);
  });

  it('is named exactly, or gets no header', async () => {
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
      for (const { headers } of [await preflight(Origin), await ask({ Origin, ...asJson })])
        expect([Origin, cors(headers)]).toEqual([Origin, []]);
  });

  it('gets no header by default', async () => {
    const closed = await freshApp();
    for (const Origin of [FRIEND, 'null', closed.url]) {
      expect(cors((await preflight(Origin, CLUSTERS, closed)).headers)).toEqual([]);
      expect(cors((await ask({ Origin, ...asJson }, query, 'POST', closed)).headers)).toEqual([]);
    }
  });
});
