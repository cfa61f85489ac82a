import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { startApp } from './support/app.ts';
import { Browser, REDIRECT_URL } from './support/open-id-provider.ts';
import {
  app,
  atProvider,
  beforeSignIns,
  callback,
  expectNobody,
  login,
  provider,
  rows,
  signIn,
  somebody,
  user,
} from './support/open-id-sign-in.ts';

const CANARY = 'pc4Purple8Heron2';

beforeSignIns();

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

  it('keeps it for TLS alone where it came by TLS', async () => {
    const behind = await startApp({ ...provider.environment, TRUSTED_PROXIES: '127.0.0.1' });
    onTestFinished(() => behind.close());
    for (const [protocol, isSecure] of Object.entries({ https: true, http: false })) {
      const { headers } = await behind.rest('GET', '/api/auth/login', undefined, { 'X-Forwarded-Proto': protocol });
      expect(/; Secure/.test(headers.getSetCookie()[0] ?? '')).toBe(isSecure);
    }
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

  it('counts once, also where another replica’s clock is minutes ahead', async () => {
    const first = new Browser();
    const query = await atProvider(first, somebody());
    const kept = new Map(first.cookies(app.url));
    expect((await callback(first, query)).status).toBe(302);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 15 * 60_000 });
    onTestFinished(() => void vi.useRealTimers());
    expect((await signIn(somebody())).status).toBe(302);
    vi.useRealTimers();
    const again = new Browser();
    for (const [name, value] of kept) again.cookies(app.url).set(name, value);
    const before = provider.asked('/token');
    expect((await callback(again, query)).status).toBe(400);
    expect(provider.asked('/token')).toBe(before);
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

  it('that is refused leaves a record, whatever was wrong', async () => {
    const own = await startApp({ ...provider.environment, OIDC_NAME: 'corporate' });
    onTestFinished(() => own.close());
    for (const [wrong, provided, outcome] of [
      ['state', undefined, 'INVALID_INPUT'],
      ['code', 'corporate', 'CREDENTIALS_WRONG'],
    ] as const) {
      const browser = new Browser();
      const query = new URLSearchParams(await atProvider(browser, somebody(), own));
      query.set(wrong, CANARY);
      await callback(browser, `?${query}`, own);
      const [last] = await own.domain.database.prisma.auditRecord.findMany({ orderBy: { id: 'desc' }, take: 1 });
      expect(last).toMatchObject({ action: 'session.begin', actorId: 'stranger', outcome, address: '127.0.0.1' });
      expect(last?.changes).toEqual(provided ? { provider: { to: provided } } : {});
    }
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
