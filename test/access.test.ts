import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import {
  createSecret,
  formatApiKey,
  hashSecret,
  isWeak,
  parseApiKey,
  secretMatches,
} from '../src/domain/accounts/api-key.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { rowsOf, versionOf } from './support/database.ts';
import { follow } from './support/followed-changes.ts';
import { send, sendBytes } from './support/wire.ts';

const caller = systemCaller('command line');
let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const rest = (Authorization: string, headers: Record<string, string> = {}) =>
  app.rest('GET', CLUSTERS, undefined, { Authorization, ...headers });
const localHeaders = (Authorization: string) => ({ Host: 'localhost', Authorization });
const viewer = (Authorization: string) => app.graphql('{ viewer { name } }', {}, { Authorization });

/** Expects that REST and GraphQL both reject the key. */
async function expectRefused(key: string) {
  expect(await rest(key)).toMatchObject({ status: 401, body: { error: 'Invalid API key' } });
  expect((await viewer(key)).status).toBe(401);
}

describe('an API key', () => {
  it('accepts an API key with and without the Bearer scheme', async () => {
    for (const form of [app.admin, `Bearer ${app.admin}`, `bearer  ${app.admin}`, ` ${app.admin} `])
      expect((await rest(form)).status).toBe(200);
    const padded = { Host: 'localhost', Authorization: ` \t ${app.admin}\t \t` };
    expect((await send(app, { path: CLUSTERS, headers: padded })).status).toBe(200);
    expect((await viewer(app.admin)).data.viewer.name).toBe('test admin');
  });

  it.each([
    'kite',
    'kite1',
    'kite1-',
    'kite-x',
    'kite-1-x',
    'kite0-x',
    'kite01-x',
    'kite+1-x',
    'kite1.0-x',
    'kite1e0-x',
    'kite0x1-x',
    'kite２-x',
    `kite${2 ** 31}-x`,
    `kite${2n ** 53n + 1n}-x`,
    `kite${2n ** 63n}-x`,
    `kite${2n ** 64n + 1n}-x`,
    `kite${'9'.repeat(400)}-x`,
    'kite1-x y',
    `kite1-${'x'.repeat(513)}`,
    'Kite1-x',
    'KITE1-',
  ])('rejects the malformed API key %s like any other wrong key', async (key) => {
    const spelled = Buffer.from(key).toString('latin1');
    await expectRefused(spelled);
    await expectRefused(`Bearer ${spelled}`);
  });

  it('rejects an API key next to a space character that HTTP does not allow', async () => {
    for (const key of [`${app.admin}\xa0`, `\xa0${app.admin}`, `Bearer ${app.admin} \xa0`])
      expect((await send(app, { path: CLUSTERS, headers: localHeaders(key) })).status).toBe(401);
  });

  it('rejects an API key with a wrong id or a wrong secret', async () => {
    const [, id = '', secret = ''] = /^kite([0-9]+)-(.+)$/.exec(app.admin) ?? [];
    for (const key of [
      `kite${Number(id) + 1}-${secret}`,
      `kite999-${secret}`,
      `kite${id}-${secret.slice(0, -1)}`,
      `kite${id}-${secret}x`,
      `kite${id}-${secret.toUpperCase()}`,
      `kite${id}-${hashSecret(secret)}`,
    ])
      await expectRefused(key);
  });

  it('rejects an API key from the moment it expires', async () => {
    const expiresAt = new Date(Date.now() + 300);
    const { text } = await app.domain.apiKeys.create(caller, { name: 'short', roles: ['admin'], expiresAt });
    expect((await rest(text)).status).toBe(200);
    await expect.poll(async () => (await rest(text)).status, { timeout: 5_000 }).toBe(401);
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime());
  });

  it('an idle subscription ends when its API key expires', async () => {
    const expiresAt = new Date(Date.now() + 800);
    const { text } = await app.domain.apiKeys.create(caller, { name: 'short stream', roles: ['viewer'], expiresAt });
    const { events, ended } = await follow(app, { Authorization: text });
    await ended;
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime());
    expect(events()).toEqual([]);
  });

  it('rejects an API key from the next request after it is revoked or disabled', async () => {
    const { apiKeys, database } = app.domain;
    const { id, text } = await apiKeys.create(caller, { name: 'doomed', roles: ['admin'] });
    expect((await rest(text)).status).toBe(200);
    await database.write('access', (tx) => tx.apiKey.update({ where: { id }, data: { disabled: true } }));
    await expectRefused(text);
    await database.write('access', (tx) => tx.apiKey.update({ where: { id }, data: { disabled: false } }));
    expect((await rest(text)).status).toBe(200);
    await apiKeys.revoke(caller, id);
    await expectRefused(text);
  });

  it('never reuses the id of a revoked API key', async () => {
    const { apiKeys } = app.domain;
    const { id } = await apiKeys.create(caller, { name: 'first', roles: [] });
    await apiKeys.revoke(caller, id);
    expect((await apiKeys.create(caller, { name: 'second', roles: [] })).id).toBeGreaterThan(id);
  });

  it('an API key created after a declared key gets a higher id, even if the declared key took the next id', async () => {
    const { apiKeys } = app.domain;
    const { id } = await apiKeys.create(caller, { name: 'before', roles: [] });
    await apiKeys.declare(caller, `kite${id + 1}-${'0123456789abcdef'.repeat(4)}`);
    expect((await apiKeys.create(caller, { name: 'after', roles: [] })).id).toBe(id + 2);
    await apiKeys.declare(caller, undefined);
  });

  it('rejects a weak API key if any header shows that the request was forwarded', async () => {
    const key = 'kite500-adminsecret';
    await app.domain.apiKeys.declare(caller, key);
    for (let again = 0; again < 2; again++) {
      expect((await rest(key)).status).toBe(200);
      for (const name of [
        ...['Forwarded', 'X-Forwarded-For', 'X-Forwarded-Host', 'x-forwarded-proto', 'X-Real-IP', 'Via', 'X-Client-IP'],
        ...['CF-Connecting-IP', 'True-Client-IP', 'X-Original-For', 'X-Envoy-External-Address', 'X-Cluster-Client-IP'],
        'Proxy-Connection',
      ])
        expect([
          name,
          (await send(app, { path: CLUSTERS, headers: { ...localHeaders(key), [name]: '10.0.0.1' } })).status,
        ]).toEqual([name, 401]);
      const asked = (version: string, headers = '') =>
        sendBytes(app, `GET ${CLUSTERS} HTTP/${version}\r\nHost: localhost\r\nAuthorization: ${key}\r\n${headers}\r\n`);
      expect(await asked('1.1', 'Connection: close\r\n')).toMatch(/^HTTP\/1\.1 200 /);
      expect(await asked('1.0')).toMatch(/^HTTP\/1\.1 401 /);
    }
    expect((await rest(app.admin, { 'X-Forwarded-For': '10.0.0.1' })).status).toBe(200);
  });

  it('a wrong API key is rejected even if the request carries a valid key elsewhere', async () => {
    const cookie = { Cookie: `auth_token=${app.admin}` };
    expect((await rest('kite1-wrong', cookie)).status).toBe(401);
    expect((await app.rest('GET', `${CLUSTERS}?key=${app.admin}`, undefined, {})).status).toBe(401);
  });
});

describe('the stored API key', () => {
  it('an API key is stored as a hash that no API returns', async () => {
    const { text, id } = await app.domain.apiKeys.create(caller, { name: 'kept', roles: [] });
    const [row] = await rowsOf(app.dataDir, 'SELECT * FROM "ApiKey" WHERE "id" = ?', id);
    const secret = text.slice(text.indexOf('-') + 1);
    expect(row?.hash).toBe(hashSecret(secret));
    expect(JSON.stringify(row)).not.toContain(secret);
    expect(JSON.stringify(await app.domain.apiKeys.list(caller))).not.toContain(hashSecret(secret));
  });

  it('using an API key writes nothing to the database', async () => {
    const version = versionOf(app.dataDir);
    const before = await version();
    for (let asked = 0; asked < 20; asked++) {
      await rest(app.admin);
      await viewer(app.keyWithoutRole);
      await rest(`kite1-wrong${asked}`);
    }
    expect(await version()).toEqual(before);
    await app.domain.database.write('access', async () => {});
    expect(await version()).not.toEqual(before);
  });
});

describe('the API key format', () => {
  it('parses every API key that it can format', () => {
    const secrets = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      minLength: 1,
      maxLength: 512,
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), secrets, (id, secret) => {
        expect(parseApiKey(formatApiKey({ id, secret }))).toEqual({ id, secret });
      }),
    );
  });

  it('parseApiKey accepts only formatted keys and never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const key = parseApiKey(text);
        if (key) expect(formatApiKey(key)).toBe(text);
      }),
    );
  });

  it('a generated secret has 256 random bits', () => {
    const secrets = Array.from({ length: 100 }, createSecret);
    for (const secret of secrets) expect(Buffer.from(secret, 'base64url')).toHaveLength(32);
    expect(new Set(secrets).size).toBe(100);
  });

  it('a secret matches only its own hash, and a hash of another length is not an error', () => {
    const secret = createSecret();
    expect(secretMatches(secret, hashSecret(secret))).toBe(true);
    for (const stored of [hashSecret(`${secret}x`), '', 'x', hashSecret(secret).slice(1), secret])
      expect(secretMatches(secret, stored)).toBe(false);
  });

  it.each([
    ['adminsecret', true],
    ['hunter2', true],
    ['a'.repeat(100), true],
    ['ab'.repeat(100), true],
    ['0123456789abcdef', true],
    ['correct horse battery staple', false],
    ['0123456789abcdef'.repeat(2), false],
    ['Tr0ub4dor&3-Tr0ub4dor&3', false],
  ])('isWeak(%j) is %s', (secret, weak) => {
    expect(isWeak(secret)).toBe(weak);
  });

  it('a generated secret is never weak', () => {
    for (let made = 0; made < 200; made++) expect(isWeak(createSecret())).toBe(false);
  });
});
