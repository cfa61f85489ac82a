import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { readConfig } from '../src/config.ts';
import { systemCaller } from '../src/domain/access/system.ts';
import { startApp, type TestApp } from './support/app.ts';
import {
  Browser,
  CLIENT_SECRET,
  type OpenIdProvider,
  type Person,
  REDIRECT_URL,
  startOpenIdProvider,
} from './support/open-id-provider.ts';

const caller = systemCaller('command line');
const CANARY = 'pc4Purple8Heron2';
let provider: OpenIdProvider;
let app: TestApp;

beforeAll(async () => {
  provider = await startOpenIdProvider();
  app = await startApp({ ...provider.environment, OIDC_NAME: 'corporate' });
  await app.domain.users.create(caller, { username: 'root', password: 'correct horse battery', roles: ['admin'] });
});
afterAll(async () => {
  await app.close();
  await provider.stop();
});
afterEach(() => {
  provider.answer = undefined;
});

let people = 0;
const somebody = (claims: Record<string, unknown> = {}): Person => {
  const id = `p${++people}`;
  return { sub: `subject-${id}`, preferred_username: id, name: `Person ${id}`, groups: ['developers'], ...claims };
};

const login = (browser: Browser, query = '?provider=corporate', on = app) =>
  browser.get(`${on.url}/api/auth/login${query}`);
const callback = (browser: Browser, query: string, on = app) => browser.get(`${on.url}/api/auth/callback${query}`);

/** Begins a sign-in and comes back from the provider; what is left is the callback. */
async function atProvider(browser: Browser, person: Person, on = app, change?: (url: URL) => void): Promise<string> {
  provider.person = person;
  const url = new URL(JSON.parse((await login(browser, '', on)).text).auth_url);
  change?.(url);
  return browser.signInAtProvider(url.href);
}

async function signIn(person: Person, { browser = new Browser(), on = app } = {}) {
  const answer = await callback(browser, await atProvider(browser, person, on), on);
  return { browser, ...answer, error: answer.text ? JSON.parse(answer.text).error : undefined };
}

const user = async (browser: Browser, on = app) => {
  const { status, text } = await browser.get(`${on.url}/api/auth/user`);
  return { status, ...JSON.parse(text).user };
};
const rows = () => app.domain.database.prisma.user.count();

/** Nobody came in: no session, no person. */
async function expectNobody(browser: Browser, before: number) {
  expect(browser.cookies(app.url).has('auth_token')).toBe(false);
  expect(await rows()).toBe(before);
}

describe('a sign-in by OpenID Connect', () => {
  it('leads to the provider and back, and begins a session', async () => {
    const browser = new Browser();
    const begun = await login(browser);
    expect(begun.status).toBe(200);
    const { auth_url, ...rest } = JSON.parse(begun.text);
    expect(rest).toEqual({ provider: 'corporate' });
    const asked = new URL(auth_url);
    expect(asked.origin).toBe(provider.issuer);
    expect(Object.fromEntries(asked.searchParams)).toMatchObject({
      ...{ client_id: 'kitestring', redirect_uri: REDIRECT_URL, response_type: 'code', scope: 'openid profile email' },
      ...{
        code_challenge_method: 'S256',
        state: expect.stringMatching(/^.{40,}$/),
        nonce: expect.stringMatching(/^.{40,}$/),
      },
    });

    provider.person = somebody({ name: 'Ada' });
    const returned = await callback(browser, await browser.signInAtProvider(auth_url));
    expect(returned).toMatchObject({ status: 302, location: `${app.url}/`, text: '' });
    const session = returned.headers.getSetCookie().find((line) => line.startsWith('auth_token='));
    expect(session).toMatch(/; HttpOnly/);
    expect(session).toMatch(/; SameSite=Lax/);
    expect(await user(browser)).toEqual({
      ...{ status: 200, username: provider.person.preferred_username, name: 'Ada' },
      ...{ provider: 'corporate', avatar_url: '', roles: [{ name: 'viewer' }] },
    });
  });

  it('is offered by its name', async () => {
    const { body } = await app.rest('GET', '/api/auth/providers', undefined, {});
    expect(body).toEqual({ providers: ['password', 'corporate'] });
  });

  it.each(['?provider=password', '?provider=Corporate', '?provider=', '?provider=corporate%00', '?provider=__proto__'])(
    'is none at %s',
    async (query) => {
      const browser = new Browser();
      expect((await login(browser, query)).status).toBe(404);
      expect(browser.cookies(app.url).size).toBe(0);
    },
  );

  it('keeps what it sent sealed, out of reach of scripts, for ten minutes', async () => {
    const { headers, text } = await login(new Browser());
    const [cookie = ''] = headers.getSetCookie();
    expect(cookie).toMatch(/; HttpOnly/);
    expect(cookie).toMatch(/; SameSite=Lax/);
    const expires = Date.parse(/Expires=([^;]+)/.exec(cookie)?.[1] ?? '');
    expect(expires - Date.now()).toBeLessThanOrEqual(10 * 60_000);
    expect(expires - Date.now()).toBeGreaterThan(9 * 60_000);
    const { searchParams } = new URL(JSON.parse(text).auth_url);
    for (const secret of ['state', 'nonce'])
      for (const spelled of [searchParams.get(secret) ?? '', btoa(searchParams.get(secret) ?? '').slice(1, -4)])
        expect(cookie).not.toContain(spelled);
  });

  it('goes on at another replica with the same key', async () => {
    const sealKey = 'a'.repeat(64);
    const one = await startApp({ ...provider.environment, SEAL_KEY: sealKey });
    const second = await startApp({ ...provider.environment, SEAL_KEY: sealKey, DATA_DIR: one.dataDir });
    onTestFinished(async () => {
      await second.close();
      await one.close();
    });
    const browser = new Browser();
    const query = await atProvider(browser, somebody({ groups: ['platform'] }), one);
    for (const [name, value] of browser.cookies(one.url)) browser.cookies(second.url).set(name, value);
    expect((await callback(browser, query, second)).status).toBe(302);
    expect((await callback(browser, query, one)).status).toBe(400);
  });
});

describe('a callback', () => {
  it('of another state is refused', async () => {
    const before = await rows();
    for (const change of [
      (query: URLSearchParams) => query.set('state', 'x'.repeat(43)),
      (query: URLSearchParams) => query.delete('state'),
      (query: URLSearchParams) => query.append('state', query.get('state') ?? ''),
    ]) {
      const browser = new Browser();
      const query = new URLSearchParams(await atProvider(browser, somebody()));
      change(query);
      expect((await callback(browser, `?${query}`)).status).toBe(400);
      await expectNobody(browser, before);
    }
  });

  it('in a browser that did not begin it is refused: nobody is signed in as somebody else', async () => {
    const before = await rows();
    const [attacker, victim] = [new Browser(), new Browser()];
    const query = await atProvider(attacker, somebody());
    expect((await callback(victim, query)).status).toBe(400);
    await login(victim);
    expect((await callback(victim, query)).status).toBe(400);
    await expectNobody(victim, before);
  });

  it('counts once, whatever the browser kept, and also at the same moment', async () => {
    const browser = new Browser();
    const query = await atProvider(browser, somebody());
    const kept = new Map(browser.cookies(app.url));
    const again = () => {
      const copy = new Browser();
      for (const [name, value] of kept) copy.cookies(app.url).set(name, value);
      return callback(copy, query);
    };
    const statuses = (await Promise.all([again(), again(), again()])).map(({ status }) => status);
    expect(statuses.sort()).toEqual([302, 400, 400]);
    expect((await again()).status).toBe(400);
  });

  it('forgets what the browser kept, also when it fails', async () => {
    const browser = new Browser();
    const query = await atProvider(browser, somebody());
    expect(browser.cookies(app.url).size).toBe(1);
    await callback(browser, `${query}x`);
    expect(browser.cookies(app.url).size).toBe(0);
  });

  it('after ten minutes is refused', async () => {
    const browser = new Browser();
    const query = await atProvider(browser, somebody());
    const kept = new Map(browser.cookies(app.url));
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 10 * 60_000 });
    onTestFinished(() => void vi.useRealTimers());
    for (const [name, value] of kept) browser.cookies(app.url).set(name, value);
    const before = provider.asked('/token');
    expect((await callback(browser, query)).status).toBe(400);
    expect(provider.asked('/token')).toBe(before);
  });

  it.each([
    ['a changed one', (value: string) => `${value.slice(0, -6)}${value.endsWith('AAAAAA') ? 'BBBBBB' : 'AAAAAA'}`],
    ['a cut one', (value: string) => value.slice(0, 40)],
    ['none of ours', () => 'eyJzdGF0ZSI6IngifQ'],
  ])('with a cookie that is %s is refused', async (_, change) => {
    const browser = new Browser();
    const query = await atProvider(browser, somebody());
    const cookies = browser.cookies(app.url);
    for (const [name, value] of cookies) cookies.set(name, change(value));
    expect((await callback(browser, query)).status).toBe(400);
  });

  it('with a code that is not good any more is refused', async () => {
    const browser = new Browser();
    const query = new URLSearchParams(await atProvider(browser, somebody()));
    query.set('code', 'of-somebody-else');
    expect((await callback(browser, `?${query}`)).status).toBe(401);
  });

  it('of another issuer is refused, and of none where the provider tells its own', async () => {
    for (const change of [
      (query: URLSearchParams) => query.set('iss', 'https://login.example.com'),
      (query: URLSearchParams) => query.delete('iss'),
    ]) {
      const browser = new Browser();
      const query = new URLSearchParams(await atProvider(browser, somebody()));
      change(query);
      const before = provider.asked('/token');
      expect((await callback(browser, `?${query}`)).status).toBe(502);
      expect(provider.asked('/token')).toBe(before);
    }
  });

  it('with an error of the provider repeats nothing of it', async () => {
    const browser = new Browser();
    const { state } = Object.fromEntries(new URL(JSON.parse((await login(browser)).text).auth_url).searchParams);
    const query = new URLSearchParams({
      error: CANARY,
      error_description: CANARY,
      iss: provider.issuer,
      state: state ?? '',
    });
    const answer = await callback(browser, `?${query}`);
    expect(answer.status).toBe(401);
    expect(answer.text + app.logged()).not.toContain(CANARY);
  });

  it('leads to the front page, wherever one wants it to', async () => {
    for (const name of ['redirect', 'redirect_uri', 'return_to', 'next', 'url', 'RelayState']) {
      const browser = new Browser();
      provider.person = somebody();
      const wish = `${name}=${encodeURIComponent('//evil.example')}`;
      const { auth_url } = JSON.parse((await login(browser, `?provider=corporate&${wish}`)).text);
      expect(new URL(auth_url).searchParams.get('redirect_uri')).toBe(REDIRECT_URL);
      const query = await browser.signInAtProvider(auth_url);
      expect(await callback(browser, `${query}&${wish}`)).toMatchObject({ status: 302, location: `${app.url}/` });
    }
  });
});

describe('an ID token', () => {
  const b64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const part = (token: unknown, at: number) =>
    JSON.parse(Buffer.from(String(token).split('.')[at] ?? '', 'base64url').toString());

  it.each<[string, (header: object, claims: object, signature: string) => string]>([
    [
      'another subject',
      (header, claims, signature) => `${b64(header)}.${b64({ ...claims, sub: 'root' })}.${signature}`,
    ],
    ['no signature', (header, claims) => `${b64({ ...header, alg: 'none' })}.${b64(claims)}.`],
    [
      'a signature of nobody',
      (header, claims, signature) => `${b64(header)}.${b64(claims)}.${'A'.repeat(signature.length)}`,
    ],
  ])('with %s is refused', async (_, change) => {
    const before = await rows();
    provider.answer = (tokens) => {
      const signature = String(tokens.id_token).split('.')[2] ?? '';
      return { ...tokens, id_token: change(part(tokens.id_token, 0), part(tokens.id_token, 1), signature) };
    };
    const { status, browser } = await signIn(somebody());
    expect(status).toBe(502);
    await expectNobody(browser, before);
  });

  it('that is missing is refused', async () => {
    const before = await rows();
    provider.answer = ({ id_token: _, ...tokens }) => tokens;
    const { status, browser } = await signIn(somebody());
    expect(status).toBe(502);
    await expectNobody(browser, before);
  });

  it('of another sign-in is refused by its nonce', async () => {
    const before = await rows();
    const browser = new Browser();
    const query = await atProvider(browser, somebody(), app, (url) => url.searchParams.set('nonce', 'of-another'));
    expect((await callback(browser, query)).status).toBe(502);
    await expectNobody(browser, before);
  });

  it('of an earlier sign-in is refused, though it is whole', async () => {
    let earlier: unknown;
    provider.answer = (tokens) => {
      earlier = tokens.id_token;
      return tokens;
    };
    expect((await signIn(somebody())).status).toBe(302);
    provider.answer = (tokens) => ({ ...tokens, id_token: earlier });
    expect((await signIn(somebody())).status).toBe(502);
  });

  it('is asked for with the verifier of its own browser alone', async () => {
    const browser = new Browser();
    const query = await atProvider(browser, somebody(), app, (url) =>
      url.searchParams.set('code_challenge', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'),
    );
    expect((await callback(browser, query)).status).toBe(401);
  });
});

describe('the roles', () => {
  const roles = async (browser: Browser) => (await user(browser)).roles?.map(({ name }: { name: string }) => name);

  it('are those of the groups, at each sign-in anew, and what began with others ends', async () => {
    const person = somebody({ groups: ['platform', 'developers', 'strangers'] });
    const { browser } = await signIn(person);
    expect(await roles(browser)).toEqual(['admin', 'viewer']);

    const { browser: second } = await signIn({ ...person, groups: ['developers'] });
    expect(await roles(second)).toEqual(['viewer']);
    expect((await user(browser)).status).toBe(401);
  });

  it('that stay leave other sessions alone', async () => {
    const person = somebody();
    const { browser } = await signIn(person);
    await signIn({ ...person, name: 'Renamed' });
    expect(await user(browser)).toMatchObject({ status: 200, name: 'Renamed' });
  });

  it('of somebody whose groups give none: they stay out, and what they had ends', async () => {
    const before = await rows();
    for (const groups of [
      [],
      undefined,
      ['strangers'],
      ['Platform'],
      [['platform']],
      { platform: true },
      'platform2',
      null,
    ]) {
      const { status, browser } = await signIn(somebody({ groups }));
      expect(status).toBe(403);
      await expectNobody(browser, before);
    }
    const person = somebody();
    const { browser } = await signIn(person);
    expect((await signIn({ ...person, groups: [] })).status).toBe(403);
    expect((await user(browser)).status).toBe(401);
  });

  it('may come from one group that is no list', async () => {
    expect(await roles((await signIn(somebody({ groups: 'platform' }))).browser)).toEqual(['admin']);
  });

  it('that somebody changed by hand are those of the groups again at the next sign-in', async () => {
    const person = somebody();
    await signIn(person);
    await app.domain.users.update(caller, { username: String(person.preferred_username), roles: ['admin'] });
    expect(await roles((await signIn(person)).browser)).toEqual(['viewer']);
  });
});

describe('with a claim, a default and roles of its own', () => {
  let other: TestApp;
  beforeAll(async () => {
    other = await startApp({
      ...provider.environment,
      OIDC_GROUPS_CLAIM: 'name',
      OIDC_ROLES: 'cn=staff=staging, /admins=admin',
      OIDC_DEFAULT_ROLE: 'viewer',
    });
  });
  afterAll(() => other.close());
  const roles = async (name: string) => {
    const { browser } = await signIn(somebody({ name }), { on: other });
    return (await user(browser, other)).roles;
  };

  it('nobody but an admin comes first', async () => {
    const { status } = await signIn(somebody({ name: 'staff' }), { on: other });
    expect(status).toBe(403);
    expect(await other.domain.users.count()).toBe(0);
    expect(await roles('/admins')).toEqual([{ name: 'admin' }, { name: 'viewer' }]);
  });

  it('a role counts from when it is defined', async () => {
    expect(await roles('cn=staff')).toEqual([{ name: 'viewer' }]);
    await other.domain.roles.define(caller, {
      name: 'staging',
      actions: ['clusters.live'],
      clusters: { names: ['stag*'] },
    });
    expect(await roles('cn=staff')).toEqual([{ name: 'staging' }, { name: 'viewer' }]);
  });
});

describe('the last admin', () => {
  it('keeps the role and stays out when the groups give it no more', async () => {
    const alone = await startApp(provider.environment);
    onTestFinished(() => alone.close());
    const person = somebody({ groups: ['platform'] });
    const { browser } = await signIn(person, { on: alone });
    expect((await user(browser, alone)).status).toBe(200);
    expect((await signIn({ ...person, groups: ['developers'] }, { on: alone })).status).toBe(409);
    expect((await user(browser, alone)).status).toBe(401);
    const [row] = await alone.domain.users.list(caller);
    expect(row?.roles).toEqual(['admin']);

    await signIn(somebody({ groups: ['platform'] }), { on: alone });
    expect((await signIn({ ...person, groups: ['developers'] }, { on: alone })).status).toBe(302);
  });
});

describe('an account', () => {
  it('of a password is not taken over by its user name, nor by an address that reads like it', async () => {
    const before = await rows();
    for (const claims of [
      { preferred_username: 'root' },
      { preferred_username: undefined, email: 'root', email_verified: true },
    ]) {
      const { status, browser } = await signIn(somebody({ ...claims, groups: ['platform'] }));
      expect(status).toBe(409);
      await expectNobody(browser, before);
    }
  });

  it('of one person is not taken over by another who took their user name', async () => {
    const person = somebody();
    await signIn(person);
    expect((await signIn({ ...person, sub: `${person.sub}-other` })).status).toBe(409);
  });

  it('is known by its subject, whatever it is called', async () => {
    const person = somebody();
    await signIn(person);
    const before = await rows();
    const { browser } = await signIn({ ...person, preferred_username: 'renamed-at-the-provider' });
    expect((await user(browser)).username).toBe(person.preferred_username);
    expect(await rows()).toBe(before);
  });

  it('of the same subject at another issuer is another', async () => {
    const person = somebody({ groups: ['platform'] });
    await signIn(person);
    const impostor = await startOpenIdProvider();
    const moved = await startApp({ ...impostor.environment, OIDC_NAME: 'corporate', DATA_DIR: app.dataDir });
    onTestFinished(async () => {
      await moved.close();
      await impostor.stop();
    });
    impostor.person = { ...person, preferred_username: 'somebody-else' };
    const browser = new Browser();
    const { auth_url } = JSON.parse((await login(browser, '', moved)).text);
    expect((await callback(browser, await browser.signInAtProvider(auth_url), moved)).status).toBe(302);
    expect((await user(browser, moved)).username).toBe('somebody-else');
  });

  it('has no password to sign in by', async () => {
    const person = somebody();
    await signIn(person);
    for (const password of ['', 'null', 'undefined']) {
      const body = { username: person.preferred_username, password };
      const { status } = await app.rest('POST', '/api/auth/login/password', body, {});
      expect(status).toBe(401);
    }
  });

  it('whose user name could not be one here has another', async () => {
    for (const preferred_username of ['../../etc', ' root', 'a'.repeat(200), 7, undefined, '\u0000']) {
      const { browser } = await signIn(somebody({ preferred_username, email: 'not-verified', email_verified: false }));
      expect((await user(browser)).username).toMatch(/^corporate-[0-9a-f]{12}$/);
    }
  });

  it('that is disabled stays out', async () => {
    const person = somebody();
    const { browser } = await signIn(person);
    const username = String(person.preferred_username);
    await app.domain.users.update(caller, { username, disabled: true });
    expect((await user(browser)).status).toBe(401);
    for (const groups of [['developers'], ['platform'], []]) {
      const again = await signIn({ ...person, groups });
      expect(again.status).toBe(403);
      expect(again.browser.cookies(app.url).has('auth_token')).toBe(false);
    }
    const [row] = (await app.domain.users.list(caller)).filter((one) => one.username === username);
    expect(row).toMatchObject({ disabled: true, roles: ['viewer'] });
  });

  it('is made once when two browsers sign in at the same moment', async () => {
    const before = await rows();
    const person = somebody();
    const browsers = [new Browser(), new Browser(), new Browser()];
    const queries: string[] = [];
    for (const browser of browsers) queries.push(await atProvider(browser, person));
    const answers = await Promise.all(browsers.map((browser, at) => callback(browser, queries[at] ?? '')));
    expect(answers.map(({ status }) => status)).toEqual([302, 302, 302]);
    expect(await rows()).toBe(before + 1);
  });

  it('is recorded when it is made, with no token and no secret anywhere', async () => {
    const person = somebody();
    let tokens: Record<string, unknown> = {};
    provider.answer = (given) => {
      tokens = given;
      return given;
    };
    await signIn(person);
    const records = await app.domain.database.prisma.auditRecord.findMany({ orderBy: { id: 'desc' }, take: 2 });
    expect(records.map(({ action }) => action)).toEqual(['session.begin', 'user.create']);
    const told = JSON.stringify(await app.domain.database.prisma.auditRecord.findMany()) + app.logged();
    for (const secret of [CLIENT_SECRET, tokens.id_token, tokens.access_token]) expect(told).not.toContain(secret);
  });
});

describe('a provider', () => {
  /** Something that answers in a provider's place. */
  async function standIn(answer: (issuer: string) => RequestListener): Promise<TestApp> {
    const server = createServer((request, response) => handle(request, response));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const handle = answer(issuer);
    const asking = await startApp({ ...provider.environment, OIDC_ISSUER: issuer });
    onTestFinished(async () => {
      await asking.close();
      server.closeAllConnections();
      server.close();
    });
    return asking;
  }

  const metadata = (issuer: string) => ({
    issuer,
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
  });
  const answering = (change: (issuer: string) => object) =>
    standIn((issuer) => (_, response) => {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ ...metadata(issuer), ...change(issuer) }));
    });

  it('that is down costs its own sign-ins alone, and works again by itself', async () => {
    const away = await startOpenIdProvider();
    await away.stop();
    const lonely = await startApp(away.environment);
    onTestFinished(() => lonely.close());
    const answer = await login(new Browser(), '', lonely);
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.text)).toEqual({ error: expect.stringMatching(/^[^:]+: try again later$/) });
    expect((await lonely.rest('GET', '/api/auth/providers', undefined, {})).status).toBe(200);

    await away.start();
    away.person = somebody({ groups: ['platform'] });
    const browser = new Browser();
    const { auth_url } = JSON.parse((await login(browser, '', lonely)).text);
    const query = await browser.signInAtProvider(auth_url);
    await away.stop();
    expect((await callback(browser, query, lonely)).status).toBe(503);
  });

  it('is asked nothing before somebody signs in, and its metadata once', async () => {
    const quiet = await startOpenIdProvider();
    const first = await startApp(quiet.environment);
    onTestFinished(async () => {
      await first.close();
      await quiet.stop();
    });
    await first.rest('GET', '/api/auth/providers', undefined, {});
    expect(quiet.asked('/.well-known/openid-configuration')).toBe(0);
    await Promise.all([1, 2, 3].map(() => login(new Browser(), '', first)));
    await login(new Browser(), '', first);
    expect(quiet.asked('/.well-known/openid-configuration')).toBe(1);
  });

  it('that never answers is given up', { timeout: 15_000 }, async () => {
    const hanging = await standIn(() => () => {});
    expect((await login(new Browser(), '', hanging)).status).toBe(503);
  });

  it.each<[string, (issuer: string) => object]>([
    ['another issuer', () => ({ issuer: 'https://login.example.com' })],
    ['a script to sign in at', () => ({ authorization_endpoint: 'javascript:alert(1)' })],
    ['a page to sign in at that is not https', () => ({ authorization_endpoint: 'http://login.example.com/auth' })],
    ['no page to sign in at', () => ({ authorization_endpoint: undefined })],
    ['an endless document', () => ({ padding: 'x'.repeat(2 * 1024 * 1024) })],
  ])('that names %s is not used', async (_, change) => {
    const browser = new Browser();
    const asking = await answering(change);
    expect((await login(browser, '', asking)).status).toBe(502);
    expect(browser.cookies(asking.url).size).toBe(0);
  });

  it.each<[string, number, RequestListener]>([
    ['is no JSON', 502, (_, response) => response.end(`<html>${CANARY}</html>`)],
    [
      'leads elsewhere',
      502,
      (_, response) => response.writeHead(302, { Location: `${provider.issuer}/x?${CANARY}` }).end(),
    ],
    ['is a refusal', 502, (_, response) => response.writeHead(403).end(CANARY)],
    ['is a fault', 503, (_, response) => response.writeHead(500).end(CANARY)],
    ['ends too early', 503, (_, response) => response.writeHead(200, { 'Content-Length': 100 }).destroy()],
  ])('whose answer %s is not used, and nothing of it is told', async (_, status, listener) => {
    const asking = await standIn(() => listener);
    const answer = await login(new Browser(), '', asking);
    expect(answer.status).toBe(status);
    expect(answer.text + asking.logged()).not.toContain(CANARY);
    expect(asking.logged()).toContain('a sign-in by OpenID Connect failed');
  });

  it('that does not know us is told of in the log', async () => {
    const stranger = await startApp({ ...provider.environment, OIDC_CLIENT_SECRET: CANARY });
    onTestFinished(() => stranger.close());
    const browser = new Browser();
    const query = await atProvider(browser, somebody(), stranger);
    expect((await callback(browser, query, stranger)).status).toBe(502);
    expect(stranger.logged()).toContain('invalid_client');
    expect(stranger.logged()).not.toContain(CANARY);
  });

  it('is sent no token anywhere but over https', async () => {
    const browser = new Browser();
    const asking = await answering(() => ({ token_endpoint: 'http://login.example.com/token' }));
    const { state } = Object.fromEntries(
      new URL(JSON.parse((await login(browser, '', asking)).text).auth_url).searchParams,
    );
    expect((await callback(browser, `?code=x&state=${state}`, asking)).status).toBe(502);
  });
});

describe('the configuration', () => {
  const read = (change: Record<string, string>) => () => readConfig({ ...provider.environment, ...change }).openId;

  it('describes one provider, or none', () => {
    expect(readConfig({}).openId).toEqual([]);
    expect(read({})()).toMatchObject([{ name: 'oidc', issuer: provider.issuer }]);
    expect(read({ OIDC_ROLES: 'a=admin, cn=x=viewer,a=staging' })()[0]?.roles).toEqual([
      ['a', 'admin'],
      ['cn=x', 'viewer'],
      ['a', 'staging'],
    ]);
  });

  it.each([
    { OIDC_ISSUER: '' },
    { OIDC_CLIENT_ID: '' },
    { OIDC_REDIRECT_URL: '' },
    { OIDC_ROLES: '' },
    { OIDC_ISSUER: 'http://login.example.com' },
    { OIDC_ISSUER: 'http://127.0.0.1.example.com' },
    { OIDC_ISSUER: 'http://10.0.0.1' },
    { OIDC_ISSUER: 'file:///etc/passwd' },
    { OIDC_ISSUER: 'https://user:secret@login.example.com' },
    { OIDC_ISSUER: 'https://login.example.com?x=1' },
    { OIDC_REDIRECT_URL: 'http://kitestring.example.com/api/auth/callback' },
    { OIDC_REDIRECT_URL: 'https://kitestring.example.com/' },
    { OIDC_NAME: 'password' },
    { OIDC_NAME: 'My Provider' },
    { OIDC_SCOPES: 'profile' },
    { OIDC_ROLES: 'platform' },
    { OIDC_ROLES: '=admin' },
    { OIDC_ROLES: 'platform=' },
    { OIDC_DEFAULT_ROLE: 'Everyone' },
  ])('is refused with %j', (change) => {
    expect(read(change)).toThrow(/OIDC_/);
  });
});
