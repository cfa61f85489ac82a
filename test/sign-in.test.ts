import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { SignInLimits } from '../src/domain/accounts/sign-in-limits.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { onTestFinished } from './support/running-test.ts';
import { createUser, keyWith, LOGIN, PASSWORD, signIn } from './support/users.ts';
import { freshApp } from './support/wire.ts';

const WRONG = { status: 401, body: { error: 'invalid credentials' } };
const sendRequest = (app: TestApp, username: unknown, password: unknown) =>
  app.rest('POST', LOGIN, { username, password }, {});
/** Moves the counted failures into the past by this many milliseconds. */
const pass = async ({ domain }: TestApp, ms: number) => {
  const { signInFailure } = domain.database.prisma;
  for (const { key, lastAt } of await signInFailure.findMany())
    await signInFailure.update({ where: { key }, data: { lastAt: new Date(lastAt.getTime() - ms) } });
};

/** Lengthens the waits, so that none is over meanwhile even on a busy machine. */
async function lengthenWaits({ domain: { database } }: TestApp): Promise<void> {
  if (database.kind === 'sqlite') {
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    return;
  }
  // On PostgreSQL the database's clock counts, which cannot be stopped.
  for (const statement of [
    `CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN NEW."lastAt" = NEW."lastAt" + interval '1 minute'; RETURN NEW; END $$`,
    `CREATE TRIGGER "waits" BEFORE INSERT OR UPDATE ON "SignInFailure" FOR EACH ROW WHEN (NEW."failures" >= 5)
      EXECUTE FUNCTION later()`,
  ])
    await database.prisma.$executeRawUnsafe(statement);
}

describe('a wrong sign-in', () => {
  it('known, unknown, disabled and impossible names get the same response', async () => {
    const app = await freshApp();
    await createUser(app, 'known');
    await createUser(app, 'disabled');
    await app.domain.users.update(systemCaller('command line'), { username: 'disabled', disabled: true });
    for (const username of ['known', 'unknown', 'disabled', 'a\0b', '\ud800', '', 'K'.repeat(10_000)]) {
      const password = username === 'disabled' ? PASSWORD : 'wrong';
      expect(await sendRequest(app, username, password)).toMatchObject(WRONG);
      await app.domain.database.prisma.signInFailure.deleteMany();
    }
    expect((await sendRequest(app, 'known', 7)).status).toBe(400);
  });

  it('known and unknown names take nearly the same time', async () => {
    const app = await freshApp();
    await createUser(app, 'known');
    const times: Record<string, number[]> = { known: [], unknown: [] };
    for (let round = 0; round < 15; round++)
      for (const username of ['known', 'unknown']) {
        await app.domain.database.prisma.signInFailure.deleteMany();
        const began = performance.now();
        await sendRequest(app, username, 'wrong');
        times[username]?.push(performance.now() - began);
      }
    const median = (values: number[] = []) => values.toSorted((left, right) => left - right)[7] ?? 0;
    const [known, unknown] = [median(times.known), median(times.unknown)];
    // Without the dummy hash, an unknown name is answered ten times sooner.
    expect(Math.max(known, unknown) / Math.min(known, unknown)).toBeLessThan(2);
  });

  it('sign-ins are delayed after five failures, per name and per address, for a growing time', async () => {
    const app = await freshApp();
    await createUser(app, 'ann');
    for (let failed = 0; failed < 5; failed++) expect((await sendRequest(app, 'ann', 'wrong')).status).toBe(401);
    const slowed = await sendRequest(app, 'ann', PASSWORD);
    expect([slowed.status, slowed.headers.get('retry-after')]).toEqual([429, '1']);
    expect(slowed.headers.getSetCookie()).toEqual([]);
    // The address has to wait too, for any username.
    expect((await sendRequest(app, 'bob', 'wrong')).status).toBe(429);
    await pass(app, 1_000);
    expect((await sendRequest(app, 'ann', 'wrong')).status).toBe(401);
    const longer = await sendRequest(app, 'ann', PASSWORD);
    expect([longer.status, Number(longer.headers.get('retry-after'))]).toEqual([429, 2]);
    await pass(app, 2_000);
    expect((await sendRequest(app, 'ann', PASSWORD)).status).toBe(204);
  });

  it('no user is locked out for long: a name waits for half a minute at most', async () => {
    const app = await freshApp();
    await createUser(app, 'ann');
    await sendRequest(app, 'ann', 'wrong');
    const { signInFailure } = app.domain.database.prisma;
    await signInFailure.updateMany({ where: { key: { startsWith: 'name:' } }, data: { failures: 1_000 } });
    expect(Number((await sendRequest(app, 'ann', PASSWORD)).headers.get('retry-after'))).toBeLessThanOrEqual(30);
    await pass(app, 30_000);
    await signIn(app, 'ann');
  });

  it('concurrent wrong sign-ins are all counted', async () => {
    const app = await freshApp();
    await createUser(app, 'ann');
    await lengthenWaits(app);
    const tries = Array.from({ length: 30 }, (_, at) => sendRequest(app, 'ann', `wrong ${at}`));
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(5);
    expect(statuses.filter((status) => status === 429)).toHaveLength(25);
  });

  it('concurrent wrong sign-ins do not delay changes', async () => {
    const app = await freshApp();
    await createUser(app, 'ann');
    await lengthenWaits(app);
    const write = vi.spyOn(app.domain.database, 'write');
    const turns = () => write.mock.calls.filter(([counters]) => counters.length === 0).length;
    const tries = Array.from({ length: 300 }, (_, at) => sendRequest(app, 'ann', `wrong ${at}`));
    expect((await app.rest('POST', CLUSTERS, { name: 'in between', config: kubeconfig() })).status).toBe(201);
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(5);
    expect(statuses.filter((status) => status === 429)).toHaveLength(295);
    // Twenty at once, and one more for each that was not refused.
    expect(turns()).toBeLessThanOrEqual(25);
  });

  it('few wrong sign-ins of one network wait for the write lock, and other networks are not locked out', async () => {
    const app = await freshApp();
    await lengthenWaits(app);
    const { database } = app.domain;
    const limits = new SignInLimits({ database });
    const begin = (at: number, network: number) =>
      limits.begin({ username: `${network}-${at}`, address: `2001:db8:0:${network}::${at}` }).then(
        () => 'counted',
        ({ code }) => code,
      );
    const [held, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const change = database.write([], async () => {
      held.resolve();
      await free.promise;
    });
    await held.promise;
    const few = Array.from({ length: 20 }, (_, at) => begin(at, 1));
    expect(await begin(20, 1)).toBe('TOO_MANY_ATTEMPTS');
    const other = begin(0, 2);
    const networks = Array.from({ length: 79 }, (_, at) => begin(0, at + 3));
    expect(await begin(0, 200)).toBe('TOO_MANY_ATTEMPTS');
    free.resolve();
    await change;
    expect(await other).toBe('counted');
    expect(new Set(await Promise.all(networks))).toEqual(new Set(['counted']));
    expect((await Promise.all(few)).filter((outcome) => outcome === 'counted')).toHaveLength(5);
    expect(await begin(0, 200)).toBe('counted');
  });

  it('an overlapping sign-in attempt is refused without taking the write lock', async () => {
    const app = await freshApp();
    const { database } = app.domain;
    const limits = new SignInLimits({ database });
    const lastAt = new Date(Date.now() + 800);
    const key = 'address:192.0.2.1';
    await database.prisma.signInFailure.create({ data: { key, failures: 1_000, lastAt } });
    await expect(limits.begin({ username: 'ann', address: '192.0.2.1' })).rejects.toThrow('too many failed sign-ins');
    expect(await database.prisma.signInFailure.findMany({ select: { lastAt: true } })).toEqual([{ lastAt }]);
  });

  it('failed sign-ins are remembered across a restart', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'kitestring-'));
    onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
    const before = await startApp({ DATA_DIR: dataDir });
    await createUser(before, 'ann');
    for (let failed = 0; failed < 8; failed++) {
      await sendRequest(before, 'ann', 'wrong');
      await pass(before, 60_000);
    }
    await sendRequest(before, 'ann', 'wrong');
    await before.close();
    const after = await startApp({ DATA_DIR: dataDir });
    onTestFinished(() => after.close());
    expect((await sendRequest(after, 'ann', PASSWORD)).status).toBe(429);
  });

  it('a wrong old password in changePassword counts as a failure as well', async () => {
    const app = await freshApp();
    await createUser(app, 'ann');
    const headers = await signIn(app, 'ann');
    const change = async () => {
      const document =
        'mutation { changePassword(input: { oldPassword: "guess", newPassword: "a new password" }) { __typename } }';
      const { data, errors } = await app.graphql(document, {}, headers);
      return errors?.[0]?.extensions.code ?? data.changePassword.__typename;
    };
    const answers: string[] = [];
    for (let tried = 0; tried < 6; tried++) answers.push(await change());
    expect(answers).toEqual([...Array(5).fill('InvalidInputError'), 'TOO_MANY_ATTEMPTS']);
  });
});

describe('a password', () => {
  it('a password is stored by argon2id, and never returned', async () => {
    const app = await freshApp();
    await createUser(app, 'ann', ['admin']);
    const [stored] = await app.domain.database.prisma.user.findMany();
    expect(stored?.passwordHash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    await signIn(app, 'ann');
    await app.graphql(`mutation { createUser(input: { username: "bob", password: "${PASSWORD}" }) { __typename } }`);
    const records = JSON.stringify(await app.domain.database.prisma.auditRecord.findMany());
    for (const text of [app.logged(), records]) {
      expect(text).not.toContain(PASSWORD);
      expect(text).not.toContain('$argon2id');
    }
  });

  it('a password of under ten characters is refused', async () => {
    const app = await freshApp();
    const document =
      'mutation { createUser(input: { username: "x", password: "short" }) { ... on InvalidInputError { issues { path } } } }';
    expect((await app.graphql(document)).data.createUser).toEqual({ issues: [{ path: ['password'] }] });
  });
});

const SET_UP = '/api/v1/admin/users/create_super_user';

describe('the first setup', () => {
  const first = { username: 'root', password: PASSWORD };
  /** Starts a server that listens where other machines can reach it. */
  const open = (more: Record<string, string> = {}) =>
    freshApp({ HOST: '0.0.0.0', SEAL_KEY: Buffer.alloc(32, 7).toString('base64'), ...more });
  const progress = async (app: TestApp) => (await app.rest('GET', '/api/v1/init_check', undefined, {})).body;

  it('the first setup leads from an empty registry to a user and a cluster', async () => {
    const app = await freshApp();
    expect(await progress(app)).toEqual({ initialized: false, step: 0 });
    const made = await app.rest('POST', SET_UP, first, {});
    expect(made.status).toBe(201);
    expect(await progress(app)).toEqual({ initialized: false, step: 1 });
    const headers = { Cookie: made.headers.getSetCookie()[0]?.split(';')[0] ?? '' };
    const imported = await app.rest('POST', '/api/v1/admin/clusters/import', { inCluster: true }, headers);
    expect(imported.status).toBe(201);
    expect(await progress(app)).toEqual({ initialized: true, step: 2 });
    expect((await app.rest('GET', '/api/auth/providers', undefined, {})).body).toEqual({ providers: ['password'] });
  });

  it('the first setup succeeds for one of ten concurrent callers, and is closed afterwards', async () => {
    const app = await freshApp();
    const asked = Array.from({ length: 10 }, (_, at) =>
      app.rest('POST', SET_UP, { ...first, username: `root${at}` }, {}),
    );
    const statuses = (await Promise.all(asked)).map(({ status }) => status).sort();
    expect(statuses).toEqual([201, ...Array(9).fill(403)]);
    expect(await app.domain.database.prisma.user.count()).toBe(1);
    expect((await app.rest('POST', SET_UP, first, { Authorization: app.admin })).status).toBe(403);
  });

  it('the first setup cannot be hijacked: not through a proxy, not remotely, not with a key of a caller who is not an admin', async () => {
    const [local, reachable] = [await freshApp(), await open()];
    const { headers: viewer } = await keyWith(reachable, ['viewer']);
    await reachable.domain.setUp.createCode();
    for (const { status, body } of [
      await local.rest('POST', SET_UP, first, { 'X-Forwarded-For': '192.0.2.1' }),
      await reachable.rest('POST', SET_UP, first, {}),
      await reachable.rest('POST', SET_UP, first, viewer),
      await reachable.rest('POST', SET_UP, { ...first, code: '' }, {}),
      await reachable.rest('POST', SET_UP, { ...first, code: '0'.repeat(32) }, {}),
    ]) {
      expect(status).toBe(403);
      expect(body.error).toContain('npm run kitestring -- users create --admin');
    }
    expect(await reachable.rest('POST', SET_UP, first, { Authorization: 'kite1-wrong' })).toMatchObject({
      ...{ status: 401, body: { error: 'Invalid API key' } },
    });
    for (const app of [local, reachable]) expect(await progress(app)).toEqual({ initialized: false, step: 0 });
  });

  it('the first setup accepts the setup code, which has 128 bits and works once', async () => {
    const app = await open();
    const code = await app.domain.setUp.createCode();
    expect(code).toMatch(/^[0-9a-f]{32}$/);
    expect((await app.rest('POST', SET_UP, { ...first, code }, {})).status).toBe(201);
    expect((await app.rest('POST', SET_UP, { ...first, username: 'other', code }, {})).status).toBe(403);
    expect(await app.domain.setUp.createCode()).toBeUndefined();
  });

  it('the first setup accepts the code of any replica on all of them, also after a restart, and of no other database or key', async () => {
    const one = await open();
    const code = await one.domain.setUp.createCode();
    const second = await open({ DATA_DIR: one.dataDir });
    expect(await second.domain.setUp.createCode()).toBe(code);
    const otherKey = await open({ DATA_DIR: one.dataDir, SEAL_KEY: Buffer.alloc(32, 8).toString('base64') });
    for (const other of [otherKey, await open()]) {
      expect(await other.domain.setUp.createCode()).toMatch(/^[0-9a-f]{32}$/);
      expect((await other.rest('POST', SET_UP, { ...first, code }, {})).status).toBe(403);
    }
    expect((await second.rest('POST', SET_UP, { ...first, code }, {})).status).toBe(201);
    expect((await one.rest('POST', SET_UP, { ...first, username: 'other', code }, {})).status).toBe(403);
    expect(await one.domain.setUp.createCode()).toBeUndefined();
  });

  it('the first setup accepts the admin key', async () => {
    const app = await open();
    expect((await app.rest('POST', SET_UP, first, { Authorization: app.admin })).status).toBe(201);
    expect((await app.rest('GET', '/api/auth/user', undefined, await signIn(app, 'root'))).body.user.roles).toEqual([
      { name: 'admin' },
    ]);
  });
});
