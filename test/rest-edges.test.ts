import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { freshApp, send } from './support/wire.ts';

const JSON_TYPE = 'application/json; charset=utf-8';
const COLLECTION = CLUSTERS.slice(0, -1);
const WITHOUT_TOKEN = '{"error":"Invalid or expired token"}';
const BAD_KEY = '{"error":"Invalid API key"}';

const ROUTES = [
  ['GET', CLUSTERS],
  ['POST', CLUSTERS],
  ['PUT', `${CLUSTERS}1`],
  ['DELETE', `${CLUSTERS}1`],
  ['POST', `${CLUSTERS}import`],
] as const;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ MAX_BODY: '2048', ADMIN_API_KEY: 'kite777-declared' });
});
afterAll(() => app.close());

const key = () => ({ Authorization: app.admin });
const sendRequest = async (method: string, path: string, headers: Record<string, string> = key(), body?: string) => {
  const answer = await send(app, { method, path, headers, ...(body === undefined ? {} : { body }) });
  if (method !== 'HEAD') expect(answer.headers['content-type']).toBe(JSON_TYPE);
  return answer;
};
const post = (body: string, headers: Record<string, string> = {}) =>
  sendRequest('POST', CLUSTERS, { ...key(), ...headers }, body);

describe('authorization of REST requests', () => {
  it.each(ROUTES)('%s %s refuses a caller without credentials', async (method, path) => {
    const { status, text } = await sendRequest(method, path, {});
    expect([status, text]).toEqual([401, WITHOUT_TOKEN]);
  });

  it.each(ROUTES)('%s %s refuses a caller without the admin role', async (method, path) => {
    for (const Authorization of [app.keyWithoutRole, `Bearer ${app.keyWithoutRole}`]) {
      const { status, text } = await sendRequest(method, path, { Authorization });
      expect([status, text]).toEqual([403, '{"error":"Admin role required"}']);
    }
  });

  it.each(['', 'Bearer ', 'bearer ', 'BEARER   '])('accepts an admin key written after %j', async (scheme) => {
    expect((await sendRequest('GET', CLUSTERS, { Authorization: `${scheme}${app.admin}` })).status).toBe(200);
  });

  it('refuses a key that is unknown, revoked, expired or disabled', async () => {
    const other = await freshApp({ ADMIN_API_KEY: 'kite777-declared' });
    const { apiKeys, database } = other.domain;
    const caller = systemCaller('command line');
    const make = async () => apiKeys.create(caller, { name: 'k', roles: ['admin'] });
    const [revoked, expired] = [await make(), await make()];
    const past = { where: { id: expired.id }, data: { expiresAt: new Date(Date.now() - 1) } };
    await database.write('access', (tx) => tx.apiKey.update(past));
    const keys = [revoked.text, expired.text, 'kite777-declared'];
    const asking = (Authorization: string) => other.rest('GET', CLUSTERS, undefined, { Authorization });
    expect((await asking(revoked.text)).status).toBe(200);
    expect((await asking('kite777-declared')).status).toBe(200);
    await apiKeys.revoke(caller, revoked.id);
    await apiKeys.declare(caller, undefined);
    for (const text of [...keys, `${other.admin}x`, other.admin.slice(0, -1), 'kite99-unknown']) {
      const { status, text: answered } = await asking(text);
      expect([status, answered]).toEqual([401, BAD_KEY]);
    }
  });

  it.each([
    ...['kite', 'kite-', 'kite1', 'kite1-', 'kite-x', 'kite01-x', 'kite0-x', 'kite+1-x', 'kite1.0-x', 'kite1_x'],
    ...['kite2147483648-x', `kite${2n ** 63n}-x`, `kite${2n ** 64n + 1n}-x`, 'kite1-a b'],
  ])('refuses a malformed key: %s', async (text) => {
    for (const Authorization of [text, `Bearer ${text}`]) {
      const answer = await sendRequest('GET', CLUSTERS, { Authorization });
      expect([answer.status, answer.text]).toEqual([401, BAD_KEY]);
    }
  });

  it('ignores an Authorization header that contains no key, and prefers a key to a cookie', async () => {
    for (const Authorization of ['Basic a2l0ZTEteA==', 'Bearer eyJhbGciOiJIUzI1NiJ9.e30.x', 'Token kite1-x', '', 'x'])
      expect((await sendRequest('GET', CLUSTERS, { Authorization })).text).toBe(WITHOUT_TOKEN);
    expect((await sendRequest('GET', CLUSTERS, { Cookie: 'auth_token=x' })).text).toBe(WITHOUT_TOKEN);
    const beside = { Cookie: 'auth_token=x' };
    expect((await sendRequest('GET', CLUSTERS, { ...beside, Authorization: 'kite1-x' })).text).toBe(BAD_KEY);
    expect((await sendRequest('GET', CLUSTERS, { ...beside, ...key() })).status).toBe(200);
  });

  it.each([
    ['GET', '/api/v1/unknown'],
    ['PATCH', CLUSTERS],
    ['PUT', `${CLUSTERS}abc`],
    ['PUT', `${CLUSTERS}%zz`],
  ])('%s %s authorizes the caller before it checks anything else', async (method, path) => {
    const big = `{"name":"${'x'.repeat(3_000)}"}`;
    for (const body of ['no json', big]) {
      expect((await sendRequest(method, path, {}, body)).text).toBe(WITHOUT_TOKEN);
      expect((await sendRequest(method, path, { Authorization: 'kite1-x' }, body)).text).toBe(BAD_KEY);
    }
    for (const body of ['no json', big]) expect((await sendRequest('POST', CLUSTERS, {}, body)).status).toBe(401);
  });

  it('ignores the x-cluster-name header and cookie', async () => {
    const plain = await sendRequest('GET', CLUSTERS);
    for (const name of ['nowhere', '', '../..']) {
      const headers = { 'x-cluster-name': name, Cookie: `x-cluster-name=${encodeURIComponent(name)}` };
      const { status, text } = await sendRequest('GET', CLUSTERS, { ...key(), ...headers });
      expect([status, text]).toEqual([200, plain.text]);
    }
  });
});

describe('paths and methods', () => {
  it('the collection answers with and without its trailing slash, also with a query string', async () => {
    for (const path of [CLUSTERS, COLLECTION, `${CLUSTERS}?a=b`, `${COLLECTION}?a=b`])
      expect((await sendRequest('GET', path)).status).toBe(200);
    for (const path of [CLUSTERS, COLLECTION]) expect((await sendRequest('POST', path, key(), '{}')).status).toBe(400);
    expect((await sendRequest('POST', `${CLUSTERS}import/`, key(), '{}')).text).toContain('config is required');
  });

  it.each([
    '/api',
    '/api/',
    '/api/v1',
    '/api/v1/admin',
    '/api/v1/admin/clusterss/',
    `${CLUSTERS}1/nodes`,
    `${CLUSTERS}/`,
  ])('an unknown path is not found: %s', async (path) => {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH']) {
      const { status, text } = await sendRequest(method, path);
      expect([status, text]).toEqual([404, '{"error":"API endpoint not found"}']);
    }
  });

  it.each([
    ['PUT', CLUSTERS, 'GET, HEAD, POST'],
    ['DELETE', COLLECTION, 'GET, HEAD, POST'],
    ['PATCH', CLUSTERS, 'GET, HEAD, POST'],
    ['OPTIONS', CLUSTERS, 'GET, HEAD, POST'],
    ['GET', `${CLUSTERS}1`, 'PUT, DELETE'],
    ['POST', `${CLUSTERS}1`, 'PUT, DELETE'],
    ['PATCH', `${CLUSTERS}abc`, 'PUT, DELETE'],
    ['GET', `${CLUSTERS}%zz`, 'PUT, DELETE'],
    ['GET', `${CLUSTERS}import`, 'POST'],
    ['PATCH', `${CLUSTERS}import`, 'POST'],
    ['OPTIONS', `${CLUSTERS}import`, 'POST'],
  ])('%s %s is not allowed', async (method, path, allow) => {
    const { status, headers, text } = await sendRequest(method, path);
    expect([status, headers.allow]).toEqual([405, allow]);
    expect(JSON.parse(text)).toEqual({ error: expect.any(String) });
  });

  it('HEAD answers like GET without a body', async () => {
    for (const [path, status] of [
      [CLUSTERS, 200],
      [`${CLUSTERS}1`, 405],
      ['/api/x', 404],
    ] as const) {
      const answer = await sendRequest('HEAD', path);
      expect([answer.status, answer.text, answer.headers['content-type']]).toEqual([status, '', JSON_TYPE]);
    }
    expect((await sendRequest('HEAD', CLUSTERS, {})).status).toBe(401);
    expect((await sendRequest('HEAD', CLUSTERS, { Authorization: app.keyWithoutRole })).status).toBe(403);
  });

  const none = [
    '0',
    '-1',
    '+1',
    '1.5',
    '1e3',
    '0x1',
    'abc',
    String(2 ** 31),
    '99999999999999999999',
    '%zz',
    '%ff',
    '%00',
    '%20',
  ];
  it.each([...none, '１', '1%2F', 'import', 'import/', 'IMPORT'])(
    'an id must be a positive integer below 2^31: %s',
    async (id) => {
      for (const [method, body] of [
        ['PUT', '{}'],
        ['PUT', 'no json'],
        ['DELETE', undefined],
      ] as const) {
        const { status, text } = await sendRequest(
          method,
          encodeURI(CLUSTERS) + (id === '１' ? encodeURI(id) : id),
          key(),
          body,
        );
        expect([status, text]).toEqual([400, '{"error":"invalid cluster id"}']);
      }
      const path = `${CLUSTERS}${encodeURI(id).replaceAll('%25', '%')}`;
      expect((await sendRequest('PUT', path, { Authorization: app.keyWithoutRole }, '{}')).status).toBe(403);
    },
  );

  it.each([String(2 ** 31 - 1), '4711', '04711', '4711/'])('an id that does not exist is not found: %s', async (id) => {
    for (const method of ['PUT', 'DELETE']) {
      const { status, text } = await sendRequest(method, `${CLUSTERS}${id}`, key(), '{}');
      expect([status, text]).toEqual([404, '{"error":"cluster not found"}']);
    }
  });
});

describe('request bodies', () => {
  it.each(['', ' ', '{', 'name=x', "{'name':'x'}", '{"name":"x"} x', '{"name":"x",}', 'NaN', '\u0000'])(
    'a body that is not JSON is refused: %j',
    async (body) => {
      for (const [method, path] of ROUTES.filter(([name]) => ['POST', 'PUT'].includes(name))) {
        const { status, text } = await sendRequest(method, path, key(), body);
        expect([status, JSON.parse(text)]).toEqual([400, { error: expect.stringContaining('JSON') }]);
      }
    },
  );

  it.each(['null', '[]', '[{"name":"x"}]', '"name"', '1', 'true'])(
    'a body that is not an object is refused: %s',
    async (body) => {
      for (const path of [CLUSTERS, `${CLUSTERS}import`])
        expect((await sendRequest('POST', path, key(), body)).status).toBe(400);
      expect((await sendRequest('PUT', `${CLUSTERS}1`, key(), body)).status).toBe(400);
    },
  );

  it('a body that is not UTF-8 is refused, and a byte order mark is ignored', async () => {
    const latin = Buffer.from('{"name":"caf\xe9"}', 'latin1');
    expect((await send(app, { method: 'POST', path: CLUSTERS, headers: key(), body: latin })).status).toBe(400);
    expect((await post('\ufeff{"name":"marked"}')).status).toBe(201);
  });

  it('a body sent with a key is read as JSON, whatever its content type', async () => {
    const types = [
      'application/x-www-form-urlencoded',
      'text/plain; charset=iso-8859-1',
      'multipart/form-data',
      'x',
      '',
    ];
    for (const type of types) {
      const { status } = await post(`{"name":"typed ${type} ü"}`, { 'Content-Type': type });
      expect([type, status]).toEqual([type, 201]);
    }
    expect((await post('{"name":"untyped"}')).status).toBe(201);
    expect(JSON.parse((await sendRequest('GET', CLUSTERS)).text).map(({ name }: { name: string }) => name)).toContain(
      'typed text/plain; charset=iso-8859-1 ü',
    );
  });

  it('a body over the limit is refused: by its Content-Length, in chunks, and after decompression', async () => {
    const fitting = `{"name":"fits","x":"${'x'.repeat(2_048 - 22)}"}`;
    expect(fitting).toHaveLength(2_048);
    expect((await post(fitting)).status).toBe(201);
    const big = `{"name":"big","x":"${'x'.repeat(3_000)}"}`;
    for (const [method, path] of ROUTES.filter(([name]) => ['POST', 'PUT'].includes(name)))
      for (const chunked of [false, true]) {
        const { status, text, headers } = await send(app, { method, path, headers: key(), body: big, chunked });
        expect([status, headers['content-type']]).toEqual([413, JSON_TYPE]);
        expect(JSON.parse(text)).toEqual({ error: expect.any(String) });
      }
    const headers = { ...key(), 'Content-Encoding': 'gzip' };
    const packed = await send(app, { method: 'POST', path: CLUSTERS, headers, body: gzipSync(big) });
    expect(packed.status).toBe(413);
  });

  it('a body over the limit is refused at /graphql too', async () => {
    const body = JSON.stringify({ query: `{ viewer { name } } # ${'x'.repeat(3_000)}` });
    const headers = { ...key(), 'Content-Type': 'application/json' };
    for (const chunked of [false, true])
      expect((await send(app, { method: 'POST', path: '/graphql', headers, body, chunked })).status).toBe(413);
  });

  it("a body with another content encoding is read, or refused by the encoding's name", async () => {
    const headers = { ...key(), 'Content-Encoding': 'gzip' };
    const body = gzipSync('{"name":"packed"}');
    expect((await send(app, { method: 'POST', path: CLUSTERS, headers, body })).status).toBe(201);
    expect((await post('{"name":"x"}', { 'Content-Encoding': 'gzip' })).status).toBe(400);
    expect((await post('{"name":"x"}', { 'Content-Encoding': 'compress' })).status).toBe(415);
  });
});
