import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACTIONS, actionName } from '../src/domain/access/action.ts';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { startApp, type TestApp } from './support/app.ts';
import { createUser, defineRole, keyWith, PASSWORD, signedInUser } from './support/users.ts';
import { freshApp } from './support/wire.ts';

const KEYS = '/api/v1/admin/apikeys/';
const ALL = ACTIONS.map(actionName);

let app: TestApp;
/** A key narrowed to ACCESS_MANAGE and CLUSTERS_READ. */
let narrow: { Authorization: string };
beforeAll(async () => {
  app = await startApp();
  ({ headers: narrow } = await keyWith(app, ['admin'], { scopes: ['access.manage', 'clusters.read', 'rest.use'] }));
  await createUser(app, 'root', ['admin']);
  await createUser(app, 'reader', ['viewer']);
  await defineRole(app, { name: 'reading', actions: ['clusters.read'], clusters: { names: ['a'] } });
  await defineRole(app, { name: 'writing', actions: ['clusters.read', 'clusters.update'], clusters: { names: ['a'] } });
});
afterAll(() => app.close());

const mutate = async (field: string, headers: Record<string, string> = narrow) => {
  const { data, errors } = await app.graphql(
    `mutation { ${field} { __typename ... on Error { message } } }`,
    {},
    headers,
  );
  expect(errors).toBeUndefined();
  return Object.values(data)[0] as { __typename: string; message?: string };
};
/** Everything that determines permissions. */
const accessOf = async () => {
  const { prisma } = app.domain.database;
  const users = await prisma.user.findMany({ include: { roles: true }, orderBy: { id: 'asc' } });
  return [users, await prisma.role.findMany(), await prisma.apiKey.findMany({ omit: { lastUsedAt: true } })];
};

describe('a key narrowed to ACCESS_MANAGE and CLUSTERS_READ', () => {
  it.each([
    ['creates a key of the admin role', 'createApiKey(input: { name: "x", roles: ["admin"] })'],
    [
      'creates a key with an action that it lacks',
      'createApiKey(input: { name: "x", roles: ["admin"], scopes: [CLUSTERS_READ, CLUSTERS_DELETE] })',
    ],
    ['creates a key of a role with an action that it lacks', 'createApiKey(input: { name: "x", roles: ["writing"] })'],
    ['creates an admin', 'createUser(input: { username: "x", roles: ["viewer", "admin"] })'],
    ['makes a user an admin', 'updateUser(input: { username: "reader", roles: ["admin"] })'],
    [
      'gives a user a role with an action that it lacks',
      'updateUser(input: { username: "reader", roles: ["writing"] })',
    ],
    ['sets the password of an admin', 'updateUser(input: { username: "root", password: "a password of mine" })'],
    ['enables an admin', 'updateUser(input: { username: "root", disabled: false })'],
    ['takes the role of an admin away', 'updateUser(input: { username: "root", roles: [] })'],
    ['deletes an admin', 'deleteUser(input: { username: "root" })'],
    [
      'defines a role with an action that it lacks',
      'defineRole(input: { name: "mine", actions: [CLUSTERS_READ, AUDIT_READ] })',
    ],
    ['adds an action to a role', 'defineRole(input: { name: "reading", actions: [CLUSTERS_READ, CLUSTERS_LIVE] })'],
    [
      'redefines a role with an action that it lacks',
      'defineRole(input: { name: "writing", actions: [CLUSTERS_READ] })',
    ],
    ['deletes a role with an action that it lacks', 'deleteRole(input: { name: "writing" })'],
  ])('a narrowed key is refused when it %s', async (_what, field) => {
    const before = await accessOf();
    expect(await mutate(field)).toEqual({
      __typename: 'ForbiddenError',
      message: expect.stringMatching(/^this allows more than you hold yourself: you lack (CLUSTERS|AUDIT)_[A-Z_, ]+\./),
    });
    expect(await accessOf()).toEqual(before);
  });

  it('a narrowed key is refused when it revokes a key with more actions', async () => {
    const { id } = await keyWith(app, ['admin']);
    expect((await mutate(`revokeApiKey(input: { databaseId: ${id} })`)).__typename).toBe('ForbiddenError');
    expect(await app.domain.database.prisma.apiKey.count({ where: { id } })).toBe(1);
  });

  it('a refusal names every missing action, over REST too', async () => {
    const lacking = ALL.filter((action) => !['ACCESS_MANAGE', 'CLUSTERS_READ', 'REST_USE'].includes(action)).join(', ');
    const { status, body } = await app.rest('POST', KEYS, { name: 'x', roles: ['admin'] }, narrow);
    expect([status, body.error]).toEqual([403, expect.stringContaining(`you lack ${lacking}.`)]);
    expect((await app.rest('POST', KEYS, { name: 'x', roles: ['viewer'] }, narrow)).status).toBe(201);
  });

  it.each([
    ['a key without a role', 'createApiKey(input: { name: "x" })'],
    ['a key of a role that gives what it holds', 'createApiKey(input: { name: "x", roles: ["viewer", "reading"] })'],
    [
      'a key that is as narrow as itself',
      'createApiKey(input: { name: "x", roles: ["admin"], scopes: [ACCESS_MANAGE, CLUSTERS_READ, REST_USE] })',
    ],
    ['a user who reads', 'createUser(input: { username: "x", roles: ["viewer"] })'],
    ['a password of a user who reads', `updateUser(input: { username: "reader", password: "${PASSWORD}" })`],
    ['a role that reads', 'defineRole(input: { name: "reading", actions: [CLUSTERS_READ] })'],
  ])('a narrowed key manages %s', async (_what, field) => {
    expect((await mutate(field)).__typename).toMatch(/Success$/);
  });

  it('a narrowed key manages the keys it has created, and itself', async () => {
    const { id, headers } = await keyWith(app, ['admin'], { scopes: ['access.manage', 'clusters.read'] });
    await mutate('createApiKey(input: { name: "made", roles: ["viewer"] })', headers);
    const made = await app.domain.database.prisma.apiKey.findFirstOrThrow({ where: { name: 'made' } });
    for (const databaseId of [made.id, id])
      expect((await mutate(`revokeApiKey(input: { databaseId: ${databaseId} })`, headers)).__typename).toMatch(
        /Success$/,
      );
  });

  it('a narrowed key cannot create the first user, who would be an admin', async () => {
    const open = await freshApp({ HOST: '0.0.0.0', SEAL_KEY: Buffer.alloc(32, 7).toString('base64') });
    const { headers } = await keyWith(open, ['admin'], { scopes: ['access.manage'] });
    const path = '/api/v1/admin/users/create_super_user';
    expect((await open.rest('POST', path, { username: 'root', password: PASSWORD }, headers)).status).toBe(403);
    expect(await open.domain.users.count()).toBe(0);
  });
});

describe('a narrowed key that expires', () => {
  it('a narrowed key creates only keys that expire no later than itself', async () => {
    const expiresAt = new Date(Date.now() + 60 * 60_000);
    const { text: Authorization } = await app.domain.apiKeys.create(systemCaller('command line'), {
      ...{ name: 'short', roles: ['admin'], scopes: ['access.manage', 'clusters.read'], expiresAt },
    });
    const create = (more: string) =>
      mutate(`createApiKey(input: { name: "x", roles: ["viewer"] ${more} })`, { Authorization });
    const later = new Date(expiresAt.getTime() + 1_000).toISOString();
    for (const more of ['', `expiresAt: "${later}"`, 'expiresAt: null'])
      expect(await create(more)).toMatchObject({
        ...{ __typename: 'ForbiddenError', message: expect.stringContaining(expiresAt.toISOString()) },
      });
    expect((await create(`expiresAt: "${expiresAt.toISOString()}"`)).__typename).toBe('CreateApiKeySuccess');
  });
});

describe('a caller with every action', () => {
  it('a caller with every action creates any key, by a key and by a session', async () => {
    for (const headers of [{ Authorization: app.admin }, await signedInUser(app, 'ada', ['admin'])]) {
      const { __typename } = await mutate('createApiKey(input: { name: "x", roles: ["admin", "writing"] })', headers);
      expect(__typename).toBe('CreateApiKeySuccess');
    }
  });
});

describe('a user without the right to manage access', () => {
  it('a user revokes a key of their own that names a role which they have lost', async () => {
    const headers = await signedInUser(app, 'ann', ['writing', 'viewer']);
    await mutate('createApiKey(input: { name: "own", roles: ["writing"], personal: true })', headers);
    await app.domain.database.write('access', (tx) => tx.userRole.deleteMany({ where: { role: 'writing' } }));
    const { id } = await app.domain.database.prisma.apiKey.findFirstOrThrow({ where: { name: 'own' } });
    const { __typename } = await mutate(`revokeApiKey(input: { databaseId: ${id} })`, headers);
    expect(__typename).toBe('RevokeApiKeySuccess');
  });
});
