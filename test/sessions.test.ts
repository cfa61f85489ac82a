import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { ApiKeys } from '../src/domain/accounts/api-keys.ts';
import { Roles } from '../src/domain/accounts/roles.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { follow } from './support/followed-changes.ts';
import { onTestFinished } from './support/running-test.ts';
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
  it('a session cookie is inaccessible to scripts and other sites, and the session identifies its user', async () => {
    await createUser(app, 'ann', ['viewer']);
    const { status, headers, text } = await app.rest('POST', LOGIN, { username: 'ann', password: PASSWORD }, {});
    expect([status, text]).toEqual([204, '']);
    const [cookie = '', ...more] = headers.getSetCookie();
    expect(more).toEqual([]);
    expect(cookie).toMatch(/^auth_token=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Expires=[^;]+$/);
    expect(headers.get('cache-control')).toBe('no-store');
    const signedInUser = { Cookie: cookie.split(';')[0] ?? '' };
    expect((await user(signedInUser)).body).toEqual({
      user: { username: 'ann', name: '', provider: 'password', avatar_url: '', roles: [{ name: 'viewer' }] },
    });
    const { data } = await app.graphql('{ viewer { kind name roles actions } }', {}, signedInUser);
    expect(data.viewer).toEqual({ kind: 'USER', name: 'ann', roles: ['viewer'], actions: ['CLUSTERS_READ'] });
  });

  it('a session cookie is restricted to TLS if a trusted proxy reports that it terminates TLS', async () => {
    const otherApp = await freshApp({ TRUSTED_PROXIES: '127.0.0.1' });
    await createUser(otherApp, 'root');
    const headers = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-For': '192.0.2.1' };
    const { headers: answered } = await otherApp.rest('POST', LOGIN, { username: 'root', password: PASSWORD }, headers);
    expect(answered.getSetCookie()[0]).toMatch(/; Secure$/);
  });

  it('a session opens the REST routes only to an admin', async () => {
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
  ])('a session and its streams end immediately after %s, on another server too', async (how, end) => {
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

  it('a session expires at its time; a refresh extends it up to its absolute limit', async () => {
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
    // A request with an expired cookie can still sign in.
    expect((await app.rest('POST', LOGIN, { username: 'late', password: PASSWORD }, headers)).status).toBe(204);
  });

  it('an idle stream ends when its session expires, and not earlier if the session was extended', async () => {
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
    await expect.poll(staying.events).toEqual(['+after the end']);
    await app.rest('DELETE', `${CLUSTERS}${body.id}`);
    expect(ending.events()).toEqual([]);
  });

  it('a session is stored as a hash', async () => {
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
    'a request with a session and a body of %s changes nothing: 415',
    async (type) => expect(await post({ 'Content-Type': type }, '{"name":"x"}')).toBe(415),
  );

  it.each([
    { Origin: 'https://evil.example' },
    { Origin: 'null' },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
  ])('a request with a session from another origin (%j) changes nothing: 403', async (from) => {
    expect(await post({ ...JSON_TYPE, ...from }, '{"name":"x"}')).toBe(403);
    const { Cookie } = await signIn(app, 'root');
    const logout = { method: 'POST', path: '/api/auth/logout', headers: { Host: 'localhost', Cookie, ...from } };
    expect((await send(app, logout)).status).toBe(403);
    expect((await user({ Cookie })).status).toBe(200);
  });

  it('a request with a session from our own page succeeds, and needs no content type without a body', async () => {
    expect(
      await post({ ...JSON_TYPE, Origin: 'http://localhost', 'Sec-Fetch-Site': 'same-origin' }, '{"name":"x"}'),
    ).toBe(201);
    const { Cookie } = await signIn(app, 'root');
    const logout = { method: 'POST', path: '/api/auth/logout', headers: { Host: 'localhost', Cookie } };
    expect((await send(app, logout)).status).toBe(200);
  });

  it('a request from another site cannot sign in', async () => {
    const headers = { Host: 'localhost', ...JSON_TYPE, Origin: 'https://evil.example' };
    const body = JSON.stringify({ username: 'root', password: PASSWORD });
    expect((await send(app, { method: 'POST', path: LOGIN, headers, body })).status).toBe(403);
  });
});

describe('the last enabled admin', () => {
  it('the last enabled admin cannot be disabled, deleted or stripped of the role, and of two concurrent removals one fails', async () => {
    const otherApp = await freshApp();
    await createUser(otherApp, 'one', ['admin']);
    const sendRequest = async (field: string) =>
      Object.values(
        (await otherApp.graphql(`mutation { ${field} { __typename } }`)).data as Record<string, { __typename: string }>,
      )[0]?.__typename;
    for (const field of [
      'updateUser(input: { username: "one", disabled: true })',
      'updateUser(input: { username: "one", roles: [] })',
      'deleteUser(input: { username: "one" })',
    ])
      expect(await sendRequest(field)).toBe('LastAdminError');
    await createUser(otherApp, 'two', ['admin']);
    const results = await Promise.all([
      sendRequest('deleteUser(input: { username: "one" })'),
      sendRequest('updateUser(input: { username: "two", disabled: true })'),
    ]);
    expect(results.filter((name) => name === 'LastAdminError')).toHaveLength(1);
    const admins = { disabled: false, roles: { some: { role: 'admin' } } };
    expect(await otherApp.domain.database.prisma.user.count({ where: admins })).toBe(1);
  });
});

describe('an API key', () => {
  it('a personal key ends with its user, and never has more rights than its user', async () => {
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

  it('a personal key takes only roles that its user has, and only its user sees and revokes it', async () => {
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

  it('a key is narrowed by its scopes', async () => {
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

  it('a key shows its last use, which is stored periodically and not by the request', async () => {
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

  it('the last use of a key is the latest on any replica, in whatever order the replicas store it', async () => {
    const { id, headers } = await keyWith(app, ['viewer']);
    const { database, auditLog: audit } = app.domain;
    const times = ['2999-01-02T00:00:00Z', '2999-01-03T00:00:00Z', '2999-01-01T00:00:00Z'].map(
      (time) => new Date(time),
    );
    const stored: unknown[] = [];
    for (const time of times) {
      const now = () => time;
      const replica = new ApiKeys({ database, audit, now, roles: new Roles({ database, audit, now }) });
      await replica.authenticate(headers.Authorization, { ...(await database.counters()), local: false });
      await replica.storeUse();
      stored.push((await database.prisma.apiKey.findUniqueOrThrow({ where: { id } })).lastUsedAt);
    }
    expect(stored).toEqual([times[0], times[1], times[1]]);
  });

  it('a key created over REST is shown once, and listed without its secret', async () => {
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
  it('GET /api/v1/clusters lists the visible clusters by name, with version and error', async () => {
    const otherApp = await startApp();
    onTestFinished(() => otherApp.close());
    for (const name of ['b', 'a'])
      await otherApp.rest('POST', CLUSTERS, { name, config: 'none', isDefault: name === 'a' });
    const { headers } = await keyWith(otherApp, ['viewer']);
    const { status, body } = await otherApp.rest('GET', '/api/v1/clusters', undefined, headers);
    expect([status, body]).toEqual([
      200,
      [
        { name: 'a', version: '', isDefault: true, error: expect.any(String) },
        { name: 'b', version: '', isDefault: false, error: expect.any(String) },
      ],
    ]);
    expect(
      (await otherApp.rest('GET', '/api/v1/clusters', undefined, { Authorization: otherApp.keyWithoutRole })).body,
    ).toEqual([]);
  });
});
