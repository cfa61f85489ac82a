import { describe, expect, it, vi } from 'vitest';
import { hashPassword } from '../src/domain/access/password.ts';
import type { DomainError } from '../src/domain/errors.ts';
import type { TestApp } from './support/app.ts';
import { versionOf } from './support/database.ts';
import { Browser } from './support/open-id-provider.ts';
import { atProvider, beforeSignIns, callback, login, provider, somebody } from './support/open-id-sign-in.ts';
import { createUser, keyWith, LOGIN, PASSWORD, signedInUser } from './support/users.ts';
import { freshApp } from './support/wire.ts';

const CALLBACK = '/api/auth/callback';
const SET_UP = '/api/v1/admin/users/create_super_user';
/** Callbacks of one network that may be under way at once, and begin in a minute. */
const [AT_ONCE, A_MINUTE] = [8, 120];

beforeSignIns();

/** A server with the provider, which takes the address of a request from X-Forwarded-For. */
async function signInApp(): Promise<TestApp> {
  const app = await freshApp({ ...provider.environment, OIDC_NAME: 'corporate', TRUSTED_PROXIES: '127.0.0.1' });
  await createUser(app, 'root', ['admin']);
  return app;
}
const from = (address: string) => ({ 'X-Forwarded-For': address });
const throttled = ({ domain }: TestApp) =>
  domain.database.prisma.auditRecord.count({ where: { outcome: 'TOO_MANY_ATTEMPTS' } });

/** A copy of a browser, which begins nothing itself. */
function copyOf(browser: Browser, app: TestApp): Browser {
  const copy = new Browser();
  for (const [name, value] of browser.cookies(app.url)) copy.cookies(app.url).set(name, value);
  return copy;
}

/** Lets every change wait until it is opened. */
async function holdWriters({ domain: { database } }: TestApp) {
  const [held, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const change = database.write([], async () => {
    held.resolve();
    await free.promise;
  });
  await held.promise;
  return async () => {
    free.resolve();
    await change;
  };
}

describe('callbacks of OpenID Connect', () => {
  it('are under way few at a time: the others are refused before any work, and may come back', async () => {
    const app = await signInApp();
    const [first, second] = [new Browser(), new Browser()];
    const [ann, bob] = [somebody(), somebody()];
    const query = await atProvider(first, ann, app);
    const later = await atProvider(second, bob, app);
    provider.person = ann;
    const open = await holdWriters(app);
    const write = vi.spyOn(app.domain.database, 'write');
    const asked = provider.asked('/token');

    const flood = Array.from({ length: AT_ONCE }, () => callback(copyOf(first, app), query, app));
    await vi.waitUntil(() => write.mock.calls.length === AT_ONCE);
    for (let more = 0; more < 30; more++) {
      const { status, headers } = await callback(copyOf(first, app), query, app);
      expect([status, headers.get('retry-after'), headers.getSetCookie()]).toEqual([429, '1', []]);
    }
    expect((await callback(second, later, app)).status).toBe(429);
    expect([write.mock.calls.length, provider.asked('/token')]).toEqual([AT_ONCE, asked]);

    await open();
    const statuses = (await Promise.all(flood)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([302, ...Array(AT_ONCE - 1).fill(400)]);
    provider.person = bob;
    expect((await callback(second, later, app)).status).toBe(302);
    await expect.poll(() => throttled(app)).toBe(1);
  });

  it('are few in a minute from one network, which keeps no other network out', async () => {
    const app = await signInApp();
    const ask = (address: string) => app.rest('GET', `${CALLBACK}?state=x&code=y`, undefined, from(address));
    for (let asked = 0; asked < A_MINUTE; asked++) expect((await ask('192.0.2.1')).status).toBe(400);
    const refused = await ask('192.0.2.1');
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect((await ask('192.0.2.2')).status).toBe(400);
    for (let asked = 0; asked < 20; asked++) await ask('192.0.2.1');
    await expect.poll(() => throttled(app)).toBe(1);
    const { auditRecord } = app.domain.database.prisma;
    expect(await auditRecord.count({ where: { address: '192.0.2.1' } })).toBe(21);
  });

  it('whose state or cookie is wrong take no turn of the writers and call no provider', async () => {
    const app = await signInApp();
    const browser = new Browser();
    const query = new URLSearchParams(await atProvider(browser, somebody(), app));
    query.set('state', 'x'.repeat(43));
    const [write, asked] = [vi.spyOn(app.domain.database, 'write'), provider.asked('/token')];
    for (const wrong of [copyOf(browser, app), new Browser()])
      expect((await callback(wrong, `?${query}`, app)).status).toBe(400);
    expect([write.mock.calls.length, provider.asked('/token')]).toEqual([0, asked]);
  });
});

describe('sign-ins that begin', () => {
  it('are few in a minute from one network, and keep out none that come back', async () => {
    const app = await signInApp();
    const browser = new Browser();
    const query = await atProvider(browser, somebody(), app);
    for (let begun = 1; begun < A_MINUTE; begun++) expect((await login(new Browser(), '', app)).status).toBe(200);
    const refused = await login(new Browser(), '', app);
    expect([refused.status, refused.headers.getSetCookie()]).toEqual([429, []]);
    expect((await login(new Browser(), '?provider=none', app)).status).toBe(429);
    expect((await callback(browser, query, app)).status).toBe(302);
  });
});

describe('the first set-up', () => {
  it('is tried few times in a minute from one network', async () => {
    const app = await freshApp({ HOST: '0.0.0.0', SEAL_KEY: Buffer.alloc(32, 7).toString('base64') });
    const ask = () => app.rest('POST', SET_UP, { username: 'root', password: PASSWORD, code: 'wrong' }, {});
    for (let asked = 0; asked < A_MINUTE; asked++) expect((await ask()).status).toBe(403);
    const refused = await ask();
    expect([refused.status, refused.body.error]).toEqual([429, 'too many sign-ins at once: try again later']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  });
});

describe('a session', () => {
  it('that is refreshed all the time is stored once a minute', async () => {
    const app = await freshApp();
    const headers = await signedInUser(app, 'ann');
    const version = versionOf(app.dataDir);
    const before = await version();
    for (let asked = 0; asked < 20; asked++)
      expect((await app.rest('POST', '/api/auth/refresh', undefined, headers)).status).toBe(200);
    expect(await version()).toEqual(before);
  });

  it('that does not exist is not ended: no counter is raised for it', async () => {
    const app = await freshApp();
    const { headers } = await keyWith(app, ['viewer']);
    const before = await app.domain.database.counters();
    for (let asked = 0; asked < 3; asked++) {
      const cookie = { ...headers, Cookie: `auth_token=none${asked}` };
      expect((await app.rest('POST', '/api/auth/logout', undefined, cookie)).status).toBe(200);
    }
    expect(await app.domain.database.counters()).toEqual(before);
  });
});

it('passwords are hashed two at a time, and a hundred may wait', async () => {
  const hashes = await Promise.allSettled(Array.from({ length: 130 }, () => hashPassword('a long password')));
  const refused = hashes.flatMap((hash) => (hash.status === 'rejected' ? [hash.reason as DomainError] : []));
  expect(refused.map(({ code }) => code)).toEqual(Array(28).fill('TOO_MANY_ATTEMPTS'));
});

describe('an attempt for which no place to hash is left', () => {
  const TOO_MANY = 'too many passwords are being processed: try again later';
  const flood = () => Promise.allSettled(Array.from({ length: 130 }, () => hashPassword('a long password')));

  it('does not count as a failed sign-in, and leaves a record', async () => {
    const app = await freshApp();
    await createUser(app, 'ann');
    const { prisma } = app.domain.database;
    const hashes = flood();
    const caller = { viewer: null, address: '127.0.0.1' };
    const asked = Array.from({ length: 10 }, () =>
      app.domain.sessions.signIn(caller, { username: 'ann', password: PASSWORD }).catch(({ message }) => message),
    );
    expect(await Promise.all(asked)).toEqual(Array(10).fill(TOO_MANY));
    expect(await prisma.signInFailure.count()).toBe(0);
    await expect.poll(() => throttled(app)).toBe(1);
    await hashes;
    expect((await app.rest('POST', LOGIN, { username: 'ann', password: PASSWORD }, {})).status).toBe(204);
  });

  it('does not count as a wrong old password', async () => {
    const app = await freshApp();
    const headers = await signedInUser(app, 'ann');
    const { users, sessions, database } = app.domain;
    const token = headers.Cookie.replace(/^auth_token=([^;]*).*$/, '$1');
    const viewer = (await sessions.authenticate(token, await database.counters())) ?? null;
    const failures = () => database.prisma.signInFailure.findMany({ select: { key: true, failures: true } });
    const before = await failures();
    const hashes = flood();
    const change = users.changePassword({ viewer }, { oldPassword: PASSWORD, newPassword: 'a new long password' });
    await expect(change).rejects.toThrow(TOO_MANY);
    expect(await failures()).toEqual(before);
    await hashes;
  });
});
