import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.ts';
import { Browser, CLIENT_SECRET, startOpenIdProvider } from './support/open-id-provider.ts';
import {
  app,
  beforeSignIns,
  beginSignIn,
  callback,
  caller,
  expectNotSignedIn,
  login,
  newProviderUser,
  provider,
  rows,
  signIn,
  user,
} from './support/open-id-sign-in.ts';
import { onTestFinished } from './support/running-test.ts';

beforeSignIns();

describe('roles of OpenID users', () => {
  const roles = async (browser: Browser) => (await user(browser)).roles?.map(({ name }: { name: string }) => name);

  it('each sign-in sets the roles by the groups, and a change of roles ends earlier sessions', async () => {
    const providerUser = newProviderUser({ groups: ['platform', 'developers', 'strangers'] });
    const { browser } = await signIn(providerUser);
    expect(await roles(browser)).toEqual(['admin', 'viewer']);

    const { browser: second } = await signIn({ ...providerUser, groups: ['developers'] });
    expect(await roles(second)).toEqual(['viewer']);
    expect((await user(browser)).status).toBe(401);
  });

  it('a sign-in with unchanged roles leaves other sessions alone', async () => {
    const providerUser = newProviderUser();
    const { browser } = await signIn(providerUser);
    await signIn({ ...providerUser, name: 'Renamed' });
    expect(await user(browser)).toMatchObject({ status: 200, name: 'Renamed' });
  });

  it('a user whose groups give no role cannot sign in, and their sessions end', async () => {
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
      const { status, browser } = await signIn(newProviderUser({ groups }));
      expect(status).toBe(403);
      await expectNotSignedIn(browser, before);
    }
    const providerUser = newProviderUser();
    const { browser } = await signIn(providerUser);
    expect((await signIn({ ...providerUser, groups: [] })).status).toBe(403);
    expect((await user(browser)).status).toBe(401);
  });

  it('the groups claim may be a single group instead of a list', async () => {
    expect(await roles((await signIn(newProviderUser({ groups: 'platform' }))).browser)).toEqual(['admin']);
  });

  it('the next sign-in overwrites roles that were changed by hand', async () => {
    const providerUser = newProviderUser();
    await signIn(providerUser);
    await app.domain.users.update(caller, { username: String(providerUser.preferred_username), roles: ['admin'] });
    expect(await roles((await signIn(providerUser)).browser)).toEqual(['viewer']);
  });
});

describe('a custom claim, a default role and custom roles', () => {
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
    const { browser } = await signIn(newProviderUser({ name }), other);
    return (await user(browser, other)).roles;
  };

  it('only an admin can be the first user', async () => {
    const { status } = await signIn(newProviderUser({ name: 'staff' }), other);
    expect(status).toBe(403);
    expect(await other.domain.users.count()).toBe(0);
    expect(await roles('/admins')).toEqual([{ name: 'admin' }, { name: 'viewer' }]);
  });

  it('a role applies from the moment it is defined', async () => {
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
  it('the last admin keeps the role and cannot sign in when their groups no longer give it', async () => {
    const alone = await startApp(provider.environment);
    onTestFinished(() => alone.close());
    const providerUser = newProviderUser({ groups: ['platform'] });
    const { browser } = await signIn(providerUser, alone);
    expect((await user(browser, alone)).status).toBe(200);
    expect((await signIn({ ...providerUser, groups: ['developers'] }, alone)).status).toBe(409);
    expect((await user(browser, alone)).status).toBe(401);
    const [row] = await alone.domain.users.list(caller);
    expect(row?.roles).toEqual(['admin']);

    await signIn(newProviderUser({ groups: ['platform'] }), alone);
    expect((await signIn({ ...providerUser, groups: ['developers'] }, alone)).status).toBe(302);
  });
});

describe('an OpenID account', () => {
  it('an OpenID sign-in does not take over a password account by its username or a similar address', async () => {
    const before = await rows();
    for (const claims of [
      { preferred_username: 'root' },
      { preferred_username: undefined, email: 'root', email_verified: true },
    ]) {
      const { status, browser } = await signIn(newProviderUser({ ...claims, groups: ['platform'] }));
      expect(status).toBe(409);
      await expectNotSignedIn(browser, before);
    }
  });

  it('a user does not take over the account of another user whose username they have adopted', async () => {
    const providerUser = newProviderUser();
    await signIn(providerUser);
    expect((await signIn({ ...providerUser, sub: `${providerUser.sub}-other` })).status).toBe(409);
  });

  it('usernames in different letters that read the same never share an account, in either order', async () => {
    const otherApp = await startApp({ ...provider.environment });
    onTestFinished(() => otherApp.close());
    const make = (username: string) =>
      otherApp.rest('POST', '/graphql', {
        query: `mutation { createUser(input: { username: "${username}", roles: ["admin"] }) { __typename } }`,
      });
    await make('straße');
    for (const preferred_username of ['Straße', 'STRASSE', 'ｓｔｒａｓｓｅ'])
      expect((await signIn(newProviderUser({ preferred_username }), otherApp)).status).toBe(409);
    expect((await signIn(newProviderUser({ preferred_username: 'Kelvin' }), otherApp)).status).toBe(302);
    for (const username of ['kelvin', 'KELVIN', '\u212aelvin', 'ｋelvin'])
      expect((await make(username)).body.data.createUser).toEqual({ __typename: 'NameTakenError' });
    expect((await make('kelvina')).body.data.createUser).toEqual({ __typename: 'CreateUserSuccess' });
  });

  it('an account is identified by its subject, whatever its username', async () => {
    const providerUser = newProviderUser();
    await signIn(providerUser);
    const before = await rows();
    const { browser } = await signIn({ ...providerUser, preferred_username: 'renamed-at-the-provider' });
    expect((await user(browser)).username).toBe(providerUser.preferred_username);
    expect(await rows()).toBe(before);
  });

  it('the same subject at another issuer is a different account', async () => {
    const providerUser = newProviderUser({ groups: ['platform'] });
    await signIn(providerUser);
    const impostor = await startOpenIdProvider();
    const moved = await startApp({ ...impostor.environment, OIDC_NAME: 'corporate', DATA_DIR: app.dataDir });
    onTestFinished(async () => {
      await moved.close();
      await impostor.stop();
    });
    impostor.user = { ...providerUser, preferred_username: 'somebody-else' };
    const browser = new Browser();
    const { auth_url } = JSON.parse((await login(browser, '', moved)).text);
    expect((await callback(browser, await browser.signInAtProvider(auth_url), moved)).status).toBe(302);
    expect((await user(browser, moved)).username).toBe('somebody-else');
  });

  it('an OpenID account has no password to sign in with', async () => {
    const providerUser = newProviderUser();
    await signIn(providerUser);
    for (const password of ['', 'null', 'undefined']) {
      const body = { username: providerUser.preferred_username, password };
      const { status } = await app.rest('POST', '/api/auth/login/password', body, {});
      expect(status).toBe(401);
    }
  });

  it('an account whose username is not valid here gets a different one', async () => {
    for (const preferred_username of ['../../etc', ' root', 'a'.repeat(200), 7, undefined, '\u0000']) {
      const { browser } = await signIn(
        newProviderUser({ preferred_username, email: 'not-verified', email_verified: false }),
      );
      expect((await user(browser)).username).toMatch(/^corporate-[0-9a-f]{12}$/);
    }
  });

  it('a disabled account cannot sign in', async () => {
    const providerUser = newProviderUser();
    const { browser } = await signIn(providerUser);
    const username = String(providerUser.preferred_username);
    await app.domain.users.update(caller, { username, disabled: true });
    expect((await user(browser)).status).toBe(401);
    for (const groups of [['developers'], ['platform'], []]) {
      const again = await signIn({ ...providerUser, groups });
      expect(again.status).toBe(403);
      expect(again.browser.cookies(app.url).has('auth_token')).toBe(false);
    }
    const [row] = (await app.domain.users.list(caller)).filter((one) => one.username === username);
    expect(row).toMatchObject({ disabled: true, roles: ['viewer'] });
  });

  it('an account is created once when two browsers sign in at the same moment', async () => {
    const before = await rows();
    const providerUser = newProviderUser();
    const browsers = [new Browser(), new Browser(), new Browser()];
    const queries: string[] = [];
    for (const browser of browsers) queries.push(await beginSignIn(browser, providerUser));
    const answers = await Promise.all(browsers.map((browser, at) => callback(browser, queries[at] ?? '')));
    expect(answers.map(({ status }) => status)).toEqual([302, 302, 302]);
    expect(await rows()).toBe(before + 1);
  });

  it('a refused sign-in leaves an audit record', async () => {
    const { status } = await signIn(newProviderUser({ sub: 'without-a-group', groups: [] }));
    expect(status).toBe(403);
    const [last] = await app.domain.database.prisma.auditRecord.findMany({ orderBy: { id: 'desc' }, take: 1 });
    const changes = { subject: { to: `${provider.issuer} without-a-group` } };
    expect(last).toMatchObject({ action: 'session.begin', outcome: 'FORBIDDEN', changes });
  });

  it('the creation of an account leaves an audit record without any token or secret', async () => {
    const providerUser = newProviderUser();
    let tokens: Record<string, unknown> = {};
    provider.answer = (given) => {
      tokens = given;
      return given;
    };
    await signIn(providerUser);
    const records = await app.domain.database.prisma.auditRecord.findMany({ orderBy: { id: 'desc' }, take: 2 });
    expect(records.map(({ action }) => action)).toEqual(['session.begin', 'user.create']);
    const recordsAndLog = JSON.stringify(await app.domain.database.prisma.auditRecord.findMany()) + app.logged();
    for (const secret of [CLIENT_SECRET, tokens.id_token, tokens.access_token])
      expect(recordsAndLog).not.toContain(secret);
  });
});
