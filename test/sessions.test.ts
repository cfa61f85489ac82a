import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ApiKeys } from '../src/domain/access/api-keys.ts';
import { Roles } from '../src/domain/access/roles.ts';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { follow } from './support/followed-changes.ts';
import { createUser, defineRole, keyWith, LOGIN, PASSWORD, signedInUser, signIn } from './support/users.ts';
import { freshApp, send } from './support/wire.ts';

const caller = systemCaller('command line');
let app: TestApp;
/** Another server over the same database. */
let second: TestApp;
beforeAll(async () => {
  app = await startApp();
  second = await startApp({ DATA_DIR: app.dataDir });
  await createUser(app, 'root', ['admin']);
});
afterAll(async () => {
  await second.close();
  await app.close();
});

const USER = '/api/auth/user';
const user = (headers: Record<string, string>, server = app) => server.rest('GET', USER, undefined, headers);
const statuses = async (headers: Record<string, string>) => [
  (await user(headers)).status,
  (await user(headers, second)).status,
];
const mutate = (field: string, headers?: Record<string, string>) =>
  app.graphql(`mutation { ${field} { __typename ... on Error { message } } }`, {}, headers);

describe('a session', () => {
  it('is begun by a cookie that scripts and other sites cannot use, and tells who it is of', async () => {
    await createUser(app, 'ann', ['viewer']);
    const { status, headers, text } = await app.rest('POST', LOGIN, { username: 'ann', password: PASSWORD }, {});
    expect([status, text]).toEqual([204, '']);
    const [cookie = '', ...more] = headers.getSetCookie();
    expect(more).toEqual([]);
    expect(cookie).toMatch(/^auth_token=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Expires=[^;]+$/);
    expect(headers.get('cache-control')).toBe('no-store');
    const signedIn = { Cookie: cookie.split(';')[0] ?? '' };
    expect((await user(signedIn)).body).toEqual({
      user: { username: 'ann', name: '', provider: 'password', avatar_url: '', roles: [{ name: 'viewer' }] },
    });
    const { data } = await app.graphql('{ viewer { kind name roles actions } }', {}, signedIn);
    expect(data.viewer).toEqual({ kind: 'USER', name: 'ann', roles: ['viewer'], actions: ['CLUSTERS_READ'] });
  });

  it('has a cookie for TLS alone where a trusted proxy says that it ends TLS', async () => {
    const own = await freshApp({ TRUSTED_PROXIES: '127.0.0.1' });
    await createUser(own, 'root');
    const headers = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-For': '192.0.2.1' };
    const { headers: answered } = await own.rest('POST', LOGIN, { username: 'root', password: PASSWORD }, headers);
    expect(answered.getSetCookie()[0]).toMatch(/; Secure$/);
  });

  it('opens the REST routes to an admin alone', async () => {
    expect((await app.rest('GET', CLUSTERS, undefined, await signIn(app, 'root'))).status).toBe(200);
    const viewer = await signedInUser(app, 'viewer', ['viewer']);
    expect(await app.rest('GET', CLUSTERS, undefined, viewer)).toMatchObject({
      ...{ status: 403, body: { error: 'Admin role required' } },
    });
  });

  it.each<[string, (username: string, headers: Record<string, string>) => Promise<unknown>]>([
    ['signing out', (_, headers) => app.rest('POST', '/api/auth/logout', undefined, headers)],
    [
      'another password',
      (username) => mutate(`updateUser(input: { username: "${username}", password: "another password" })`),
    ],
    [
      'a password of one’s own',
      (_, headers) =>
        mutate(`changePassword(input: { oldPassword: "${PASSWORD}", newPassword: "another password" })`, headers),
    ],
    ['disabling', (username) => mutate(`updateUser(input: { username: "${username}", disabled: true })`)],
    ['another role', (username) => mutate(`updateUser(input: { username: "${username}", roles: ["viewer"] })`)],
    ['deleting the person', (username) => mutate(`deleteUser(input: { username: "${username}" })`)],
    ['deleting the role', () => mutate('deleteRole(input: { name: "passing" })')],
  ])('ends at once by %s, on another server too, and so do its streams', async (how, end) => {
    const username = `ends-by-${how.replace(/\W/g, '-')}`;
    await defineRole(app, { name: 'passing', actions: ['clusters.read'] });
    const headers = await signedInUser(app, username, ['passing']);
    expect(await statuses(headers)).toEqual([200, 200]);
    const { ended } = await follow(second, headers);
    await end(username, headers);
    expect(await statuses(headers)).toEqual([401, 401]);
    expect((await user(headers)).body).toEqual({ error: 'Invalid or expired token' });
    expect((await app.graphql('{ viewer { name } }', {}, headers)).status).toBe(401);
    await ended;
  });

  it('ends at its time; a refresh lengthens it, up to its absolute end', async () => {
    const headers = await signedInUser(app, 'late');
    const { session } = app.domain.database.prisma;
    const { id } = await app.domain.database.prisma.user.findUniqueOrThrow({ where: { username: 'late' } });
    const at = (ms: number) => new Date(Date.now() + ms);
    await session.updateMany({ where: { userId: id }, data: { expiresAt: at(60_000), endsAt: at(120_000) } });
    const refreshed = await app.rest('POST', '/api/auth/refresh', undefined, headers);
    expect(refreshed.status).toBe(200);
    const { expiresAt, endsAt } = await session.findFirstOrThrow({ where: { userId: id } });
    expect(expiresAt).toEqual(endsAt);
    expect(refreshed.headers.getSetCookie()[0]).toContain(`Expires=${endsAt.toUTCString()}`);
    await app.domain.database.write('access', (tx) =>
      tx.session.updateMany({ where: { userId: id }, data: { expiresAt: at(-1) } }),
    );
    expect(await statuses(headers)).toEqual([401, 401]);
    expect((await app.rest('POST', '/api/auth/refresh', undefined, headers)).status).toBe(401);
    // Who has an old cookie signs in all the same.
    expect((await app.rest('POST', LOGIN, { username: 'late', password: PASSWORD }, headers)).status).toBe(204);
  });

  it('ends its idle stream at its time, and not before where it was lengthened', async () => {
    const [short, lengthened] = [
      await signedInUser(app, 'short', ['viewer']),
      await signedInUser(app, 'long', ['viewer']),
    ];
    const { session } = app.domain.database.prisma;
    const expiresAt = new Date(Date.now() + 1_500);
    for (const username of ['short', 'long'])
      await session.updateMany({ where: { user: { username } }, data: { expiresAt } });
    const [ending, staying] = [await follow(app, short), await follow(second, lengthened)];
    expect((await app.rest('POST', '/api/auth/refresh', undefined, lengthened)).status).toBe(200);
    await ending.ended;
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime());
    const { body } = await app.rest('POST', CLUSTERS, { name: 'after the end' });
    await expect.poll(staying.told).toEqual(['+after the end']);
    await app.rest('DELETE', `${CLUSTERS}${body.id}`);
    expect(ending.told()).toEqual([]);
  });

  it('is stored as a hash', async () => {
    const { Cookie } = await signIn(app, 'root');
    const token = Cookie.split('=')[1] ?? '';
    expect(JSON.stringify(await app.domain.database.prisma.session.findMany())).not.toContain(token);
  });
});

describe('a request with a session', () => {
  const post = async (headers: Record<string, string>, body?: string) => {
    const { Cookie } = await signIn(app, 'root');
    const path = '/api/v1/admin/apikeys/';
    return (
      await send(app, {
        method: 'POST',
        path,
        headers: { Host: 'localhost', Cookie, ...headers },
        ...(body ? { body } : {}),
      })
    ).status;
  };
  const JSON_TYPE = { 'Content-Type': 'application/json' };

  it.each(['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x', 'application/jsonp'])(
    'and a body of %s changes nothing: 415',
    async (type) => expect(await post({ 'Content-Type': type }, '{"name":"x"}')).toBe(415),
  );

  it.each([
    { Origin: 'https://evil.example' },
    { Origin: 'null' },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
  ])('from elsewhere (%j) changes nothing: 403', async (from) => {
    expect(await post({ ...JSON_TYPE, ...from }, '{"name":"x"}')).toBe(403);
    const { Cookie } = await signIn(app, 'root');
    const logout = { method: 'POST', path: '/api/auth/logout', headers: { Host: 'localhost', Cookie, ...from } };
    expect((await send(app, logout)).status).toBe(403);
    expect((await user({ Cookie })).status).toBe(200);
  });

  it('from a page of ours is answered, and without a body it needs no type', async () => {
    expect(
      await post({ ...JSON_TYPE, Origin: 'http://localhost', 'Sec-Fetch-Site': 'same-origin' }, '{"name":"x"}'),
    ).toBe(201);
    const { Cookie } = await signIn(app, 'root');
    const logout = { method: 'POST', path: '/api/auth/logout', headers: { Host: 'localhost', Cookie } };
    expect((await send(app, logout)).status).toBe(200);
  });

  it('signs nobody in from another site', async () => {
    const headers = { Host: 'localhost', ...JSON_TYPE, Origin: 'https://evil.example' };
    const body = JSON.stringify({ username: 'root', password: PASSWORD });
    expect((await send(app, { method: 'POST', path: LOGIN, headers, body })).status).toBe(403);
  });
});

describe('the last enabled admin', () => {
  it('cannot be disabled, deleted or stripped of the role, and of two that go at once one stays', async () => {
    const own = await freshApp();
    await createUser(own, 'one', ['admin']);
    const ask = async (field: string) =>
      Object.values(
        (await own.graphql(`mutation { ${field} { __typename } }`)).data as Record<string, { __typename: string }>,
      )[0]?.__typename;
    for (const field of [
      'updateUser(input: { username: "one", disabled: true })',
      'updateUser(input: { username: "one", roles: [] })',
      'deleteUser(input: { username: "one" })',
    ])
      expect(await ask(field)).toBe('LastAdminError');
    await createUser(own, 'two', ['admin']);
    const results = await Promise.all([
      ask('deleteUser(input: { username: "one" })'),
      ask('updateUser(input: { username: "two", disabled: true })'),
    ]);
    expect(results.filter((name) => name === 'LastAdminError')).toHaveLength(1);
    const admins = { disabled: false, roles: { some: { role: 'admin' } } };
    expect(await own.domain.database.prisma.user.count({ where: admins })).toBe(1);
  });
});

describe('a key', () => {
  it('of a person ends with them, and never may more than they', async () => {
    await createUser(app, 'owner', ['viewer', 'admin']);
    const headers = await signIn(app, 'owner');
    const { data } = await app.graphql(
      'mutation { createApiKey(input: { name: "mine", roles: ["admin"], personal: true }) { ... on CreateApiKeySuccess { text apiKey { databaseId owner } } } }',
      {},
      headers,
    );
    expect(data.createApiKey.apiKey.owner).toBe('owner');
    const key = { Authorization: data.createApiKey.text };
    const status = async () => (await app.rest('GET', CLUSTERS, undefined, key)).status;
    expect(await status()).toBe(200);
    await mutate('updateUser(input: { username: "owner", roles: ["viewer"] })');
    expect(await status()).toBe(403);
    await mutate('updateUser(input: { username: "owner", disabled: true })');
    expect(await status()).toBe(401);
    await mutate('updateUser(input: { username: "owner", disabled: false })');
    expect(await status()).toBe(403);
    await mutate('deleteUser(input: { username: "owner" })');
    expect(await status()).toBe(401);
  });

  it('of one’s own takes no role that one does not hold, and is seen and revoked by oneself alone', async () => {
    const [mine, other] = [await signedInUser(app, 'mine', ['viewer']), await signedInUser(app, 'other')];
    const create = (roles: string, headers: Record<string, string>) =>
      app.graphql(
        `mutation { createApiKey(input: { name: "k", roles: ${roles}, personal: true }) { __typename ... on CreateApiKeySuccess { apiKey { databaseId } } } }`,
        {},
        headers,
      );
    expect((await create('["admin"]', mine)).data.createApiKey.__typename).toBe('InvalidInputError');
    const { data } = await create('["viewer"]', mine);
    const { databaseId } = data.createApiKey.apiKey;
    const listed = async (headers: Record<string, string>) =>
      (await app.graphql('{ apiKeys { databaseId } }', {}, headers)).data.apiKeys;
    expect(await listed(mine)).toEqual([{ databaseId }]);
    expect(await listed(other)).toEqual([]);
    const revoke = async (headers: Record<string, string>) =>
      (await mutate(`revokeApiKey(input: { databaseId: ${databaseId} })`, headers)).data.revokeApiKey.__typename;
    expect(await revoke(other)).toBe('NotFoundError');
    expect(await revoke(mine)).toBe('RevokeApiKeySuccess');
  });

  it('is narrowed by its scopes', async () => {
    const { headers } = await keyWith(app, ['admin'], { scopes: ['clusters.read'] });
    const { data } = await app.graphql(
      '{ viewer { actions } clusters { totalCount } users { username } }',
      {},
      headers,
    );
    expect(data).toEqual({ viewer: { actions: ['CLUSTERS_READ'] }, clusters: { totalCount: 0 }, users: [] });
    expect((await app.rest('GET', CLUSTERS, undefined, headers)).status).toBe(403);
    expect(
      (await mutate('createCluster(input: { name: "x", verify: NONE })', headers)).data.createCluster.__typename,
    ).toBe('ForbiddenError');
  });

  it('tells its last use, which is stored now and then and not by the request', async () => {
    const { id, headers } = await keyWith(app, ['viewer']);
    const { prisma } = app.domain.database;
    const used = async () => (await app.domain.apiKeys.list(caller)).find((key) => key.id === id)?.lastUsedAt;
    expect(await used()).toBeNull();
    await app.graphql('{ viewer { name } }', {}, headers);
    expect(await used()).toBeInstanceOf(Date);
    expect((await prisma.apiKey.findUniqueOrThrow({ where: { id } })).lastUsedAt).toBeNull();
    await app.domain.apiKeys.storeUse();
    expect((await prisma.apiKey.findUniqueOrThrow({ where: { id } })).lastUsedAt).toEqual(await used());
  });

  it('was used last when it was used last on any replica, whichever stores it last', async () => {
    const { id, headers } = await keyWith(app, ['viewer']);
    const { database } = app.domain;
    const times = ['2999-01-02T00:00:00Z', '2999-01-03T00:00:00Z', '2999-01-01T00:00:00Z'].map(
      (time) => new Date(time),
    );
    const stored: unknown[] = [];
    for (const time of times) {
      const now = () => time;
      const replica = new ApiKeys({ database, now, roles: new Roles({ database, now }) });
      await replica.authenticate(headers.Authorization, { ...(await database.counters()), local: false });
      await replica.storeUse();
      stored.push((await database.prisma.apiKey.findUniqueOrThrow({ where: { id } })).lastUsedAt);
    }
    expect(stored).toEqual([times[0], times[1], times[1]]);
  });

  it('made over REST is shown once, and listed without its secret', async () => {
    const path = '/api/v1/admin/apikeys/';
    const { status, body } = await app.rest('POST', path, {
      name: 'ci',
      roles: ['viewer'],
      expiresAt: '2999-01-01T00:00:00Z',
    });
    expect([status, body.apiKey]).toEqual([
      201,
      {
        id: expect.any(Number),
        username: 'ci',
        roles: ['viewer'],
        expiresAt: '2999-01-01T00:00:00.000Z',
        key: expect.stringMatching(/^kite\d+-[\w-]{43}$/),
      },
    ]);
    const listed = await app.rest('GET', path);
    expect(listed.body.apiKeys).toContainEqual(
      expect.objectContaining({ id: body.apiKey.id, username: 'ci', roles: ['viewer'] }),
    );
    expect(listed.text).not.toContain(body.apiKey.key.split('-').slice(1).join('-'));
    const key = { Authorization: body.apiKey.key };
    expect((await app.rest('GET', '/api/v1/clusters', undefined, key)).status).toBe(200);
    expect(await app.rest('DELETE', `${path}${body.apiKey.id}`)).toMatchObject({
      status: 200,
      body: { message: 'API key deleted successfully' },
    });
    expect((await app.rest('GET', '/api/v1/clusters', undefined, key)).status).toBe(401);
    expect((await app.rest('DELETE', `${path}0`)).body).toEqual({ error: 'invalid API key id' });
    for (const wrong of [
      { name: 'x', expiresAt: 'tomorrow' },
      { name: 'x', expiresAt: '2020-01-01T00:00:00Z' },
      { name: 'x', expiresAt: '0000-01-01T00:00:00Z' },
      { name: 'x', expiresAt: '9999-12-31T23:59:59-00:01' },
      { name: 'x', roles: ['none'] },
      { name: 'x', roles: 'admin' },
    ])
      expect((await app.rest('POST', path, wrong)).status).toBe(400);
    for (const role of [[], {}, 1, null])
      expect((await app.rest('POST', path, { name: 'x', roles: ['viewer', role] })).body).toEqual({
        error: 'roles.1 must be a string',
      });
  });
});

describe('GET /api/v1/clusters', () => {
  it('lists what one may see by name, with version and error', async () => {
    const own = await startApp();
    onTestFinished(() => own.close());
    for (const name of ['b', 'a']) await own.rest('POST', CLUSTERS, { name, config: 'none', isDefault: name === 'a' });
    const { headers } = await keyWith(own, ['viewer']);
    const { status, body } = await own.rest('GET', '/api/v1/clusters', undefined, headers);
    expect([status, body]).toEqual([
      200,
      [
        { name: 'a', version: '', isDefault: true, error: expect.any(String) },
        { name: 'b', version: '', isDefault: false, error: expect.any(String) },
      ],
    ]);
    expect((await own.rest('GET', '/api/v1/clusters', undefined, { Authorization: own.nobody })).body).toEqual([]);
  });
});
