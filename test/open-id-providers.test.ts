import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../src/config.ts';
import { startApp, type TestApp } from './support/app.ts';
import { atLoad } from './support/load.ts';
import { Browser, startOpenIdProvider } from './support/open-id-provider.ts';
import { beforeSignIns, beginSignIn, callback, login, newProviderUser, provider } from './support/open-id-sign-in.ts';
import { onTestFinished } from './support/running-test.ts';

const CANARY = 'pc4Purple8Heron2';

beforeSignIns();

describe('an OpenID provider', () => {
  /** Starts the app with a stand-in that answers in the provider's place. */
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

  it('a provider that is down affects only its own sign-ins, and works again without intervention', async () => {
    const away = await startOpenIdProvider();
    await away.stop();
    const lonely = await startApp(away.environment);
    onTestFinished(() => lonely.close());
    const answer = await login(new Browser(), '', lonely);
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.text)).toEqual({ error: expect.stringMatching(/^[^:]+: try again later$/) });
    expect((await lonely.rest('GET', '/api/auth/providers', undefined, {})).status).toBe(200);

    await away.start();
    away.user = newProviderUser({ groups: ['platform'] });
    const browser = new Browser();
    const { auth_url } = JSON.parse((await login(browser, '', lonely)).text);
    const query = await browser.signInAtProvider(auth_url);
    await away.stop();
    expect((await callback(browser, query, lonely)).status).toBe(503);
  });

  it('a provider is not called before the first sign-in, and its metadata is fetched once', async () => {
    const quiet = await startOpenIdProvider();
    const first = await startApp(quiet.environment);
    onTestFinished(async () => {
      await first.close();
      await quiet.stop();
    });
    await first.rest('GET', '/api/auth/providers', undefined, {});
    expect(quiet.requestCount('/.well-known/openid-configuration')).toBe(0);
    await Promise.all([1, 2, 3].map(() => login(new Browser(), '', first)));
    await login(new Browser(), '', first);
    expect(quiet.requestCount('/.well-known/openid-configuration')).toBe(1);
  });

  it('no provider exists if none is configured', async () => {
    const none = await startApp();
    onTestFinished(() => none.close());
    for (const query of ['', '?provider=oidc']) expect((await login(new Browser(), query, none)).status).toBe(404);
    expect((await callback(new Browser(), '?code=x&state=y', none)).status).toBe(400);
  });

  it('a sign-in with a provider that never answers is aborted', { timeout: atLoad(10_000) }, async () => {
    const hanging = await standIn(() => () => {});
    expect((await login(new Browser(), '', hanging)).status).toBe(503);
  });

  it.each<[string, (issuer: string) => object]>([
    ['another issuer', () => ({ issuer: 'https://login.example.com' })],
    ['a script to sign in at', () => ({ authorization_endpoint: 'javascript:alert(1)' })],
    ['a page to sign in at that is not https', () => ({ authorization_endpoint: 'http://login.example.com/auth' })],
    ['no page to sign in at', () => ({ authorization_endpoint: undefined })],
    ['an endless document', () => ({ padding: 'x'.repeat(2 * 1024 * 1024) })],
  ])('a provider whose metadata names %s is not used', async (_, change) => {
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
  ])('a provider whose response %s is not used, and its content is not revealed', async (_, status, listener) => {
    const asking = await standIn(() => listener);
    const answer = await login(new Browser(), '', asking);
    expect(answer.status).toBe(status);
    expect(answer.text + asking.logged()).not.toContain(CANARY);
    expect(asking.logged()).toContain('a sign-in by OpenID Connect failed');
  });

  it('the log reports a provider that rejects our client credentials', async () => {
    const stranger = await startApp({ ...provider.environment, OIDC_CLIENT_SECRET: CANARY });
    onTestFinished(() => stranger.close());
    const browser = new Browser();
    const query = await beginSignIn(browser, newProviderUser(), stranger);
    expect((await callback(browser, query, stranger)).status).toBe(502);
    expect(stranger.logged()).toContain('invalid_client');
    expect(stranger.logged()).not.toContain(CANARY);
  });

  it('tokens are sent to a provider only over https', async () => {
    const browser = new Browser();
    const asking = await answering(() => ({ token_endpoint: 'http://login.example.com/token' }));
    const { state } = Object.fromEntries(
      new URL(JSON.parse((await login(browser, '', asking)).text).auth_url).searchParams,
    );
    expect((await callback(browser, `?code=x&state=${state}`, asking)).status).toBe(502);
  });
});

describe('the OpenID configuration', () => {
  const read = (change: Record<string, string>) => () => readConfig({ ...provider.environment, ...change }).openId;

  it('the configuration describes one provider, or none', () => {
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
  ])('the configuration rejects %j', (change) => {
    expect(read(change)).toThrow(/OIDC_/);
  });
});
