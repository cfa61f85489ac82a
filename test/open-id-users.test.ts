import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startApp, type TestApp } from './support/app.ts';
import { Browser, CLIENT_SECRET, startOpenIdProvider } from './support/open-id-provider.ts';
import {
  app,
  atProvider,
  beforeSignIns,
  callback,
  caller,
  expectNobody,
  login,
  provider,
  rows,
  signIn,
  somebody,
  user,
} from './support/open-id-sign-in.ts';

beforeSignIns();

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
    const { browser } = await signIn(somebody({ name }), other);
    return (await user(browser, other)).roles;
  };

  it('nobody but an admin comes first', async () => {
    const { status } = await signIn(somebody({ name: 'staff' }), other);
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
    const { browser } = await signIn(person, alone);
    expect((await user(browser, alone)).status).toBe(200);
    expect((await signIn({ ...person, groups: ['developers'] }, alone)).status).toBe(409);
    expect((await user(browser, alone)).status).toBe(401);
    const [row] = await alone.domain.users.list(caller);
    expect(row?.roles).toEqual(['admin']);

    await signIn(somebody({ groups: ['platform'] }), alone);
    expect((await signIn({ ...person, groups: ['developers'] }, alone)).status).toBe(302);
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

  it('is nobody else in other letters that read the same, whoever was first', async () => {
    const own = await startApp({ ...provider.environment });
    onTestFinished(() => own.close());
    const make = (username: string) =>
      own.rest('POST', '/graphql', {
        query: `mutation { createUser(input: { username: "${username}", roles: ["admin"] }) { __typename } }`,
      });
    await make('straße');
    for (const preferred_username of ['Straße', 'STRASSE', 'ｓｔｒａｓｓｅ'])
      expect((await signIn(somebody({ preferred_username }), own)).status).toBe(409);
    expect((await signIn(somebody({ preferred_username: 'Kelvin' }), own)).status).toBe(302);
    for (const username of ['kelvin', 'KELVIN', '\u212aelvin', 'ｋelvin'])
      expect((await make(username)).body.data.createUser).toEqual({ __typename: 'NameTakenError' });
    expect((await make('kelvina')).body.data.createUser).toEqual({ __typename: 'CreateUserSuccess' });
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

  it('that is refused leaves a record', async () => {
    const { status } = await signIn(somebody({ sub: 'without-a-group', groups: [] }));
    expect(status).toBe(403);
    const [last] = await app.domain.database.prisma.auditRecord.findMany({ orderBy: { id: 'desc' }, take: 1 });
    const changes = { subject: { to: `${provider.issuer} without-a-group` } };
    expect(last).toMatchObject({ action: 'session.begin', outcome: 'FORBIDDEN', changes });
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
