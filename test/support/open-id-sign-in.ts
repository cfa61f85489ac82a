import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { systemCaller } from '../../src/domain/access/system-caller.ts';
import { startApp, type TestApp } from './app.ts';
import { Browser, type OpenIdProvider, type ProviderUser, startOpenIdProvider } from './open-id-provider.ts';

export const caller = systemCaller('command line');
/** The provider and the product of a test file, while its tests run. */
export let provider: OpenIdProvider;
export let app: TestApp;

/** Starts the provider and the product before the tests of a file; the admin `root` has a password. */
export function beforeSignIns(): void {
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
}

let userCount = 0;

/** A new developer whom the product has not seen yet. */
export function newProviderUser(claims: Record<string, unknown> = {}): ProviderUser {
  const id = `p${++userCount}`;
  return { sub: `subject-${id}`, preferred_username: id, name: `User ${id}`, groups: ['developers'], ...claims };
}

export function login(browser: Browser, query = '?provider=corporate', on = app) {
  return browser.get(`${on.url}/api/auth/login${query}`);
}

export function callback(browser: Browser, query: string, on = app) {
  return browser.get(`${on.url}/api/auth/callback${query}`);
}

/** Begins a sign-in and returns from the provider; only the callback remains. */
export async function beginSignIn(
  browser: Browser,
  providerUser: ProviderUser,
  on = app,
  change?: (url: URL) => void,
): Promise<string> {
  provider.user = providerUser;
  const url = new URL(JSON.parse((await login(browser, '', on)).text).auth_url);
  change?.(url);
  return browser.signInAtProvider(url.href);
}

export async function signIn(providerUser: ProviderUser, on = app) {
  const browser = new Browser();
  return { browser, ...(await callback(browser, await beginSignIn(browser, providerUser, on), on)) };
}

/** Returns the user that a browser is signed in as. */
export async function user(browser: Browser, on = app) {
  const { status, text } = await browser.get(`${on.url}/api/auth/user`);
  return { status, ...JSON.parse(text).user };
}

export function rows(): Promise<number> {
  return app.domain.database.prisma.user.count();
}

/** Expects that the sign-in created neither a session nor a user. */
export async function expectNotSignedIn(browser: Browser, before: number): Promise<void> {
  expect(browser.cookies(app.url).has('auth_token')).toBe(false);
  expect(await rows()).toBe(before);
}
