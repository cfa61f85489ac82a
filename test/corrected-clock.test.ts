import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SignInLimits } from '../src/domain/accounts/sign-in-limits.ts';
import { CautiousClock } from '../src/domain/cautious-clock.ts';
import type { DomainError } from '../src/domain/errors.ts';
import type { TestApp } from './support/app.ts';
import { POSTGRES } from './support/database-location.ts';
import { onTestFinished } from './support/running-test.ts';
import { createUser, keyWith, LOGIN, signIn } from './support/users.ts';
import { freshApp } from './support/wire.ts';

const HOUR = 60 * 60_000;
const DAY = 24 * HOUR;
let app: TestApp;
beforeEach(async () => {
  app = await freshApp();
});
afterEach(() => void vi.useRealTimers());

/** Runs a function under a clock that is ahead by this many milliseconds, then corrects the clock. */
async function whileAhead<T>(ms: number, run: () => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms });
  onTestFinished(() => void vi.useRealTimers());
  try {
    return await run();
  } finally {
    vi.useRealTimers();
  }
}
const login = (username: string, password: string) => app.rest('POST', LOGIN, { username, password }, {});
const failures = () => app.domain.database.prisma.signInFailure.findMany();

describe('a sign-in failure stored with a time in the future', () => {
  const store = async (failures: number, ms: number) => {
    const lastAt = new Date(Date.now() + ms);
    for (const key of (await app.domain.database.prisma.signInFailure.findMany()).map(({ key }) => key))
      await app.domain.database.prisma.signInFailure.update({ where: { key }, data: { failures, lastAt } });
  };
  const waitOf = (username = 'ann') =>
    new SignInLimits({ database: app.domain.database }).begin({ username, address: '192.0.2.1' }).then(
      () => 0,
      ({ details }: DomainError) => Number(details.retryAfterSeconds),
    );

  it.each([HOUR - 1_000, 2 * HOUR, 365 * DAY])(
    'a failure stored %d ms in the future does not lock out a user with fewer than five failures',
    async (ms) => {
      for (const failures of [0, 1, 4]) {
        await waitOf();
        await store(failures, ms);
        expect(await waitOf()).toBe(0);
        await app.domain.database.prisma.signInFailure.deleteMany();
      }
    },
  );

  it.each([
    [5, 1],
    [7, 4],
    [100, 900],
  ])(
    '%d failures stored in the future lock the user out for at most %d s after the correction',
    async (failed, most) => {
      await waitOf();
      await store(failed, 365 * DAY);
      expect(await waitOf()).toBeLessThanOrEqual(most);
      // The wait expires instead of restarting with each attempt.
      const { signInFailure } = app.domain.database.prisma;
      for (const { key, lastAt } of await failures())
        await signInFailure.update({ where: { key }, data: { lastAt: new Date(lastAt.getTime() - most * 1_000) } });
      expect(await waitOf()).toBe(0);
    },
  );

  it.runIf(POSTGRES === undefined)(
    'a sign-in under a fast clock does not lock out other users of the same address',
    async () => {
      for (const username of ['ann', 'bob']) await createUser(app, username);
      await whileAhead(HOUR, () => signIn(app, 'ann'));
      await signIn(app, 'ann');
      await signIn(app, 'bob');
    },
  );
});

describe('a throttled sign-in attempt', () => {
  it('throttled sign-ins leave one audit record per minute, and the next record counts the others', async () => {
    await createUser(app, 'ann');
    await app.domain.database.prisma.signInFailure.create({
      data: { key: 'address:127.0.0.1', failures: 1_000, lastAt: new Date() },
    });
    for (let asked = 0; asked < 30; asked++)
      expect((await login(asked === 0 ? 'ann' : `name ${asked}`, 'x')).status).toBe(429);
    const { auditRecord } = app.domain.database.prisma;
    const throttled = () => auditRecord.findMany({ where: { outcome: 'TOO_MANY_ATTEMPTS' } });
    await expect
      .poll(throttled)
      .toMatchObject([
        { action: 'session.begin', actorId: 'stranger', address: '127.0.0.1', changes: { user: { to: 'ann' } } },
      ]);
    const { headers } = await keyWith(app, []);
    await app.rest('POST', '/api/v1/admin/clusters/', {}, headers);
    const [last] = await auditRecord.findMany({ orderBy: { id: 'desc' }, take: 1 });
    expect(last?.changes).toEqual({ unrecorded: { to: 29 } });
  });

  it("the audit record of a throttled sign-in does not contain a name that is not a user's name", async () => {
    await app.domain.database.prisma.signInFailure.create({
      data: { key: 'address:127.0.0.1', failures: 1_000, lastAt: new Date() },
    });
    await login('a password, typed as a name', 'x');
    const { auditRecord } = app.domain.database.prisma;
    const throttled = () => auditRecord.findMany({ where: { outcome: 'TOO_MANY_ATTEMPTS' } });
    await expect.poll(throttled).toMatchObject([{ changes: {} }]);
  });
});

describe('a corrected clock', () => {
  it('refused attempts are recorded again one minute after the clock was corrected', async () => {
    const { headers, id } = await keyWith(app, []);
    const attempt = () => app.rest('POST', '/api/v1/admin/clusters/', {}, headers);
    const recorded = () => app.domain.database.prisma.auditRecord.count({ where: { apiKeyId: id } });
    const now = Date.now();
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: now + HOUR });
    for (let asked = 0; asked < 25; asked++) await attempt();
    expect(await recorded()).toBe(20);
    vi.advanceTimersByTime(61_000);
    vi.setSystemTime(now);
    await attempt();
    expect(await recorded()).toBe(21);
  });

  it('a session created under a fast clock lasts one day from now, and thirty days at most', async () => {
    await createUser(app, 'ann');
    const headers = await whileAhead(365 * DAY, () => signIn(app, 'ann'));
    await app.domain.sessions.prune();
    await app.domain.sessions.prune();
    const [session] = await app.domain.database.prisma.session.findMany();
    expect(session?.expiresAt.getTime()).toBeLessThanOrEqual(Date.now() + DAY);
    expect(session?.endsAt.getTime()).toBeLessThanOrEqual(Date.now() + 30 * DAY);
    expect((await app.rest('GET', '/api/auth/user', undefined, headers)).status).toBe(200);
  });

  it('a session keeps its full lifetime if the clock was briefly behind', async () => {
    await createUser(app, 'ann');
    await signIn(app, 'ann');
    const session = () => app.domain.database.prisma.session.findMany();
    const before = await session();
    for (const clocks of [['behind'], ['right', 'behind', 'right']])
      for (const clock of clocks)
        if (clock === 'right') await app.domain.sessions.prune();
        else await whileAhead(-365 * DAY, () => app.domain.sessions.prune());
    expect(await session()).toEqual(before);
  });

  it('pruning under a fast clock deletes no audit records and no sessions', async () => {
    await createUser(app, 'ann');
    const headers = await signIn(app, 'ann');
    const count = () => app.domain.database.prisma.auditRecord.count();
    const before = await count();
    await whileAhead(3 * 365 * DAY, async () => {
      await app.domain.auditLog.prune({ days: 365 });
      await app.domain.sessions.prune();
    });
    expect(await count()).toBe(before);
    expect((await app.rest('GET', '/api/auth/user', undefined, headers)).status).toBe(200);
  });

  // With PostgreSQL, a probe round counts only for clusters with a lease holder, and no replica probes in this test.
  it.runIf(POSTGRES === undefined)(
    'an observation time in the future is replaced by the time of the next finished round',
    async () => {
      await app.rest('POST', '/api/v1/admin/clusters/', { name: 'a' });
      const observedAt = new Date(Date.now() + DAY);
      const { prisma } = app.domain.database;
      await prisma.cluster.updateMany({ data: { observedAt } });
      const seen = async () =>
        (await app.graphql('{ cluster(by: { name: "a" }) { status { observedAt } } }')).data.cluster.status.observedAt;
      expect(await seen()).toBeNull();
      const roundFinishedAt = new Date(Date.now() - 10_000);
      await app.domain.statuses.finishRound(roundFinishedAt);
      await expect.poll(seen, { timeout: 3_000 }).toBe(roundFinishedAt.toISOString());
    },
  );
});

describe('CautiousClock', () => {
  it('CautiousClock follows a forward jump at the second reading, and a step back immediately', () => {
    let ahead = 0;
    const clock = new CautiousClock(() => new Date(Date.now() + ahead));
    // Adding 0 turns -0 into 0.
    const offset = () => Math.round((clock.now().getTime() - Date.now()) / HOUR) + 0;
    expect(offset()).toBe(0);
    ahead = 5 * HOUR;
    expect([offset(), offset()]).toEqual([0, 5]);
    ahead = -HOUR;
    expect(offset()).toBe(-1);
  });
});
