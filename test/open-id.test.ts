import { describe, expect, it, vi } from 'vitest';
import { startApp } from './support/app.ts';
import { Browser, REDIRECT_URL } from './support/open-id-provider.ts';
import {
  app,
  beforeSignIns,
  beginSignIn,
  callback,
  expectNotSignedIn,
  login,
  newProviderUser,
  provider,
  rows,
  signIn,
  user,
} from './support/open-id-sign-in.ts';
import { onTestFinished } from './support/running-test.ts';

const CANARY = 'pc4Purple8Heron2';

beforeSignIns();

describe('a sign-in by OpenID Connect', () => {
  it('a sign-in leads to the provider and back, and creates a session', async () => {
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

    provider.user = newProviderUser({ name: 'Ada' });
    const returned = await callback(browser, await browser.signInAtProvider(auth_url));
    expect(returned).toMatchObject({ status: 302, location: `${app.url}/`, text: '' });
    const session = returned.headers.getSetCookie().find((line) => line.startsWith('auth_token='));
    expect(session).toMatch(/; HttpOnly/);
    expect(session).toMatch(/; SameSite=Lax/);
    expect(await user(browser)).toEqual({
      ...{ status: 200, username: provider.user.preferred_username, name: 'Ada' },
      ...{ provider: 'corporate', avatar_url: '', roles: [{ name: 'viewer' }] },
    });
  });

  it('the sign-in page offers the provider by its name', async () => {
    const { body } = await app.rest('GET', '/api/auth/providers', undefined, {});
    expect(body).toEqual({ providers: ['password', 'corporate'] });
  });

  it.each(['?provider=password', '?provider=Corporate', '?provider=', '?provider=corporate%00', '?provider=__proto__'])(
    'no sign-in starts at %s',
    async (query) => {
      const browser = new Browser();
      expect((await login(browser, query)).status).toBe(404);
      expect(browser.cookies(app.url).size).toBe(0);
    },
  );

  it('the sign-in state is stored in a cookie for ten minutes, encrypted and inaccessible to scripts', async () => {
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

  it('the state cookie is restricted to TLS if the request came over TLS', async () => {
    const behind = await startApp({ ...provider.environment, TRUSTED_PROXIES: '127.0.0.1' });
    onTestFinished(() => behind.close());
    for (const [protocol, isSecure] of Object.entries({ https: true, http: false })) {
      const { headers } = await behind.rest('GET', '/api/auth/login', undefined, { 'X-Forwarded-Proto': protocol });
      expect(/; Secure/.test(headers.getSetCookie()[0] ?? '')).toBe(isSecure);
    }
  });

  it('another replica with the same key continues a sign-in', async () => {
    const sealKey = 'a'.repeat(64);
    const one = await startApp({ ...provider.environment, SEAL_KEY: sealKey });
    const second = await startApp({ ...provider.environment, SEAL_KEY: sealKey, DATA_DIR: one.dataDir });
    onTestFinished(async () => {
      await second.close();
      await one.close();
    });
    const browser = new Browser();
    const query = await beginSignIn(browser, newProviderUser({ groups: ['platform'] }), one);
    for (const [name, value] of browser.cookies(one.url)) browser.cookies(second.url).set(name, value);
    expect((await callback(browser, query, second)).status).toBe(302);
    expect((await callback(browser, query, one)).status).toBe(400);
  });
});

describe('an OpenID callback', () => {
  it('a callback with a different state is refused', async () => {
    const before = await rows();
    for (const change of [
      (query: URLSearchParams) => query.set('state', 'x'.repeat(43)),
      (query: URLSearchParams) => query.delete('state'),
      (query: URLSearchParams) => query.append('state', query.get('state') ?? ''),
    ]) {
      const browser = new Browser();
      const query = new URLSearchParams(await beginSignIn(browser, newProviderUser()));
      change(query);
      expect((await callback(browser, `?${query}`)).status).toBe(400);
      await expectNotSignedIn(browser, before);
    }
  });

  it('a callback in a browser that did not start the sign-in is refused, so that no user is signed in as another', async () => {
    const before = await rows();
    const [attacker, victim] = [new Browser(), new Browser()];
    const query = await beginSignIn(attacker, newProviderUser());
    expect((await callback(victim, query)).status).toBe(400);
    await login(victim);
    expect((await callback(victim, query)).status).toBe(400);
    await expectNotSignedIn(victim, before);
  });

  it('a callback counts once, even if the browser keeps its cookies or sends it twice at the same moment', async () => {
    const browser = new Browser();
    const query = await beginSignIn(browser, newProviderUser());
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

  it('a callback counts once, even if the clock of another replica is minutes ahead', async () => {
    const first = new Browser();
    const query = await beginSignIn(first, newProviderUser());
    const kept = new Map(first.cookies(app.url));
    expect((await callback(first, query)).status).toBe(302);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 15 * 60_000 });
    onTestFinished(() => void vi.useRealTimers());
    expect((await signIn(newProviderUser())).status).toBe(302);
    vi.useRealTimers();
    const again = new Browser();
    for (const [name, value] of kept) again.cookies(app.url).set(name, value);
    const before = provider.requestCount('/token');
    expect((await callback(again, query)).status).toBe(400);
    expect(provider.requestCount('/token')).toBe(before);
  });

  it('a callback removes the state cookie, even when it fails', async () => {
    const browser = new Browser();
    const query = await beginSignIn(browser, newProviderUser());
    expect(browser.cookies(app.url).size).toBe(1);
    await callback(browser, `${query}x`);
    expect(browser.cookies(app.url).size).toBe(0);
  });

  it('a callback after ten minutes is refused', async () => {
    const browser = new Browser();
    const query = await beginSignIn(browser, newProviderUser());
    const kept = new Map(browser.cookies(app.url));
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 10 * 60_000 });
    onTestFinished(() => void vi.useRealTimers());
    for (const [name, value] of kept) browser.cookies(app.url).set(name, value);
    const before = provider.requestCount('/token');
    expect((await callback(browser, query)).status).toBe(400);
    expect(provider.requestCount('/token')).toBe(before);
  });

  it.each([
    ['a changed one', (value: string) => `${value.slice(0, -6)}${value.endsWith('AAAAAA') ? 'BBBBBB' : 'AAAAAA'}`],
    ['a cut one', (value: string) => value.slice(0, 40)],
    ['none of ours', () => 'eyJzdGF0ZSI6IngifQ'],
  ])('a callback with a cookie that is %s is refused', async (_, change) => {
    const browser = new Browser();
    const query = await beginSignIn(browser, newProviderUser());
    const cookies = browser.cookies(app.url);
    for (const [name, value] of cookies) cookies.set(name, change(value));
    expect((await callback(browser, query)).status).toBe(400);
  });

  it('a callback with an expired code is refused', async () => {
    const browser = new Browser();
    const query = new URLSearchParams(await beginSignIn(browser, newProviderUser()));
    query.set('code', 'of-somebody-else');
    expect((await callback(browser, `?${query}`)).status).toBe(401);
  });

  it('every refused callback leaves an audit record', async () => {
    const otherApp = await startApp({ ...provider.environment, OIDC_NAME: 'corporate' });
    onTestFinished(() => otherApp.close());
    for (const [wrong, provided, outcome] of [
      ['state', undefined, 'INVALID_INPUT'],
      ['code', 'corporate', 'CREDENTIALS_WRONG'],
    ] as const) {
      const browser = new Browser();
      const query = new URLSearchParams(await beginSignIn(browser, newProviderUser(), otherApp));
      query.set(wrong, CANARY);
      await callback(browser, `?${query}`, otherApp);
      const [last] = await otherApp.domain.database.prisma.auditRecord.findMany({ orderBy: { id: 'desc' }, take: 1 });
      expect(last).toMatchObject({ action: 'session.begin', actorId: 'stranger', outcome, address: '127.0.0.1' });
      expect(last?.changes).toEqual(provided ? { provider: { to: provided } } : {});
    }
  });

  it('a callback of another issuer is refused, and so is one without an issuer if the provider promises to send it', async () => {
    for (const change of [
      (query: URLSearchParams) => query.set('iss', 'https://login.example.com'),
      (query: URLSearchParams) => query.delete('iss'),
    ]) {
      const browser = new Browser();
      const query = new URLSearchParams(await beginSignIn(browser, newProviderUser()));
      change(query);
      const before = provider.requestCount('/token');
      expect((await callback(browser, `?${query}`)).status).toBe(502);
      expect(provider.requestCount('/token')).toBe(before);
    }
  });

  it('a callback with an error of the provider does not repeat its text', async () => {
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

  it('a callback leads to the front page, whatever target the request names', async () => {
    for (const name of ['redirect', 'redirect_uri', 'return_to', 'next', 'url', 'RelayState']) {
      const browser = new Browser();
      provider.user = newProviderUser();
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
  ])('an ID token with %s is refused', async (_, change) => {
    const before = await rows();
    provider.answer = (tokens) => {
      const signature = String(tokens.id_token).split('.')[2] ?? '';
      return { ...tokens, id_token: change(part(tokens.id_token, 0), part(tokens.id_token, 1), signature) };
    };
    const { status, browser } = await signIn(newProviderUser());
    expect(status).toBe(502);
    await expectNotSignedIn(browser, before);
  });

  it('a missing ID token is refused', async () => {
    const before = await rows();
    provider.answer = ({ id_token: _, ...tokens }) => tokens;
    const { status, browser } = await signIn(newProviderUser());
    expect(status).toBe(502);
    await expectNotSignedIn(browser, before);
  });

  it('an ID token of another sign-in is refused by its nonce', async () => {
    const before = await rows();
    const browser = new Browser();
    const query = await beginSignIn(browser, newProviderUser(), app, (url) =>
      url.searchParams.set('nonce', 'of-another'),
    );
    expect((await callback(browser, query)).status).toBe(502);
    await expectNotSignedIn(browser, before);
  });

  it('a valid ID token of an earlier sign-in is refused', async () => {
    let earlier: unknown;
    provider.answer = (tokens) => {
      earlier = tokens.id_token;
      return tokens;
    };
    expect((await signIn(newProviderUser())).status).toBe(302);
    provider.answer = (tokens) => ({ ...tokens, id_token: earlier });
    expect((await signIn(newProviderUser())).status).toBe(502);
  });

  it('an ID token is requested only with the verifier of its own browser', async () => {
    const browser = new Browser();
    const query = await beginSignIn(browser, newProviderUser(), app, (url) =>
      url.searchParams.set('code_challenge', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'),
    );
    expect((await callback(browser, query)).status).toBe(401);
  });
});
