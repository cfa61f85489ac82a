import { describe, expect, it, vi } from 'vitest';
import { Caller } from '../src/domain/access/caller.ts';
import { hashPassword } from '../src/domain/accounts/password.ts';
import type { DomainError } from '../src/domain/errors.ts';
import type { TestApp } from './support/app.ts';
import { versionOf } from './support/database.ts';
import { Browser } from './support/open-id-provider.ts';
import { beforeSignIns, beginSignIn, callback, login, newProviderUser, provider } from './support/open-id-sign-in.ts';
import { createUser, keyWith, LOGIN, PASSWORD, signedInUser } from './support/users.ts';
import { freshApp } from './support/wire.ts';

const CALLBACK = '/api/auth/callback';
const SET_UP = '/api/v1/admin/users/create_super_user';
/** The number of callbacks from one network that may be in progress at once, and that may begin per minute. */
const [AT_ONCE, A_MINUTE] = [8, 120];

beforeSignIns();

/** A server with the provider, which reads the client address from X-Forwarded-For. */
async function signInApp(): Promise<TestApp> {
  const app = await freshApp({ ...provider.environment, OIDC_NAME: 'corporate', TRUSTED_PROXIES: '127.0.0.1' });
  await createUser(app, 'root', ['admin']);
  return app;
}
const from = (address: string) => ({ 'X-Forwarded-For': address });
const throttled = ({ domain }: TestApp) =>
  domain.database.prisma.auditRecord.count({ where: { outcome: 'TOO_MANY_ATTEMPTS' } });

/** A copy of a browser that has not started a sign-in itself. */
function copyOf(browser: Browser, app: TestApp): Browser {
  const copy = new Browser();
  for (const [name, value] of browser.cookies(app.url)) copy.cookies(app.url).set(name, value);
  return copy;
}

/** Blocks every change until the test lets them continue. */
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
  it('only a few callbacks run at a time: the others are refused before any work, and may be retried', async () => {
    const app = await signInApp();
    const [first, second] = [new Browser(), new Browser()];
    const [ann, bob] = [newProviderUser(), newProviderUser()];
    const query = await beginSignIn(first, ann, app);
    const later = await beginSignIn(second, bob, app);
    provider.user = ann;
    const open = await holdWriters(app);
    const write = vi.spyOn(app.domain.database, 'write');
    const asked = provider.requestCount('/token');

    const flood = Array.from({ length: AT_ONCE }, () => callback(copyOf(first, app), query, app));
    await vi.waitUntil(() => write.mock.calls.length === AT_ONCE);
    for (let more = 0; more < 30; more++) {
      const { status, headers } = await callback(copyOf(first, app), query, app);
      expect([status, headers.get('retry-after'), headers.getSetCookie()]).toEqual([429, '1', []]);
    }
    expect((await callback(second, later, app)).status).toBe(429);
    expect([write.mock.calls.length, provider.requestCount('/token')]).toEqual([AT_ONCE, asked]);

    await open();
    const statuses = (await Promise.all(flood)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([302, ...Array(AT_ONCE - 1).fill(400)]);
    provider.user = bob;
    expect((await callback(second, later, app)).status).toBe(302);
    await expect.poll(() => throttled(app)).toBe(1);
  });

  it('one network may send only a few callbacks per minute, and does not lock out other networks', async () => {
    const app = await signInApp();
    const sendRequest = (address: string) => app.rest('GET', `${CALLBACK}?state=x&code=y`, undefined, from(address));
    for (let asked = 0; asked < A_MINUTE; asked++) expect((await sendRequest('192.0.2.1')).status).toBe(400);
    const refused = await sendRequest('192.0.2.1');
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect((await sendRequest('192.0.2.2')).status).toBe(400);
    for (let asked = 0; asked < 20; asked++) await sendRequest('192.0.2.1');
    await expect.poll(() => throttled(app)).toBe(1);
    const { auditRecord } = app.domain.database.prisma;
    expect(await auditRecord.count({ where: { address: '192.0.2.1' } })).toBe(21);
  });

  it('callbacks with a wrong state or cookie take no write lock and do not call the provider', async () => {
    const app = await signInApp();
    const browser = new Browser();
    const query = new URLSearchParams(await beginSignIn(browser, newProviderUser(), app));
    query.set('state', 'x'.repeat(43));
    const [write, asked] = [vi.spyOn(app.domain.database, 'write'), provider.requestCount('/token')];
    for (const wrong of [copyOf(browser, app), new Browser()])
      expect((await callback(wrong, `?${query}`, app)).status).toBe(400);
    expect([write.mock.calls.length, provider.requestCount('/token')]).toEqual([0, asked]);
  });
});

describe('sign-ins that begin', () => {
  it('one network may begin only a few sign-ins per minute, and can still complete those it has begun', async () => {
    const app = await signInApp();
    const browser = new Browser();
    const query = await beginSignIn(browser, newProviderUser(), app);
    for (let begun = 1; begun < A_MINUTE; begun++) expect((await login(new Browser(), '', app)).status).toBe(200);
    const refused = await login(new Browser(), '', app);
    expect([refused.status, refused.headers.getSetCookie()]).toEqual([429, []]);
    expect((await login(new Browser(), '?provider=none', app)).status).toBe(429);
    expect((await callback(browser, query, app)).status).toBe(302);
  });
});

describe('the first setup', () => {
  it('one network may attempt the first setup only a few times per minute', async () => {
    const app = await freshApp({ HOST: '0.0.0.0', SEAL_KEY: Buffer.alloc(32, 7).toString('base64') });
    const sendRequest = () => app.rest('POST', SET_UP, { username: 'root', password: PASSWORD, code: 'wrong' }, {});
    for (let asked = 0; asked < A_MINUTE; asked++) expect((await sendRequest()).status).toBe(403);
    const refused = await sendRequest();
    expect([refused.status, refused.body.error]).toEqual([429, 'too many sign-ins at once: try again later']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  });
});

describe('a session', () => {
  it('a session that is refreshed continuously is stored once a minute', async () => {
    const app = await freshApp();
    const headers = await signedInUser(app, 'ann');
    const version = versionOf(app.dataDir);
    const before = await version();
    for (let asked = 0; asked < 20; asked++)
      expect((await app.rest('POST', '/api/auth/refresh', undefined, headers)).status).toBe(200);
    expect(await version()).toEqual(before);
  });

  it('signing out of a session that does not exist raises no counter', async () => {
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

describe('an attempt when the hashing queue is full', () => {
  const TOO_MANY = 'too many passwords are being processed: try again later';
  const flood = () => Promise.allSettled(Array.from({ length: 130 }, () => hashPassword('a long password')));

  it('an attempt that is not hashed does not count as a failed sign-in, and leaves an audit record', async () => {
    const app = await freshApp();
    await createUser(app, 'ann');
    const { prisma } = app.domain.database;
    const hashes = flood();
    const caller = new Caller({ viewer: null, address: '127.0.0.1' });
    const asked = Array.from({ length: 10 }, () =>
      app.domain.sessions.signIn(caller, { username: 'ann', password: PASSWORD }).catch(({ message }) => message),
    );
    expect(await Promise.all(asked)).toEqual(Array(10).fill(TOO_MANY));
    expect(await prisma.signInFailure.count()).toBe(0);
    await expect.poll(() => throttled(app)).toBe(1);
    await hashes;
    expect((await app.rest('POST', LOGIN, { username: 'ann', password: PASSWORD }, {})).status).toBe(204);
  });

  it('an attempt that is not hashed does not count as a wrong old password', async () => {
    const app = await freshApp();
    const headers = await signedInUser(app, 'ann');
    const { users, sessions, database } = app.domain;
    const token = headers.Cookie.replace(/^auth_token=([^;]*).*$/, '$1');
    const viewer = (await sessions.authenticate(token, await database.counters())) ?? null;
    const failures = () => database.prisma.signInFailure.findMany({ select: { key: true, failures: true } });
    const before = await failures();
    const hashes = flood();
    const change = users.changePassword(new Caller({ viewer }), {
      oldPassword: PASSWORD,
      newPassword: 'a new long password',
    });
    await expect(change).rejects.toThrow(TOO_MANY);
    expect(await failures()).toEqual(before);
    await hashes;
  });
});
