import { describe, expect, it, vi } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { SignInLimits } from '../src/domain/accounts/sign-in-limits.ts';
import type { DomainError } from '../src/domain/errors.ts';
import { whileAuditWaits } from './support/database.ts';
import { POSTGRES } from './support/database-location.ts';
import { onTestFinished } from './support/running-test.ts';
import { createUser, signIn } from './support/users.ts';
import { freshApp, replicaOf } from './support/wire.ts';

const caller = systemCaller('command line');

describe.runIf(POSTGRES !== undefined)('a session that starts on one replica', () => {
  it.each([{ password: 'another password' }, { disabled: true }])(
    'a session is ended by %j on another replica, in either order',
    async (change) => {
      const first = await freshApp();
      const second = await replicaOf(first);
      await createUser(first, 'ann');
      const { signingIn, changing } = await whileAuditWaits(first.dataDir, async (waiting) => {
        const signingIn = signIn(first, 'ann');
        await expect.poll(waiting).toBe(1);
        const changing = second.domain.users.update(caller, { username: 'ann', ...change });
        await expect.poll(waiting).toBe(2);
        return { signingIn, changing };
      });
      const headers = await signingIn;
      await changing;
      // No session would become valid again once the user is enabled.
      expect(await first.domain.database.prisma.session.count()).toBe(0);
      for (const app of [first, second])
        expect((await app.rest('GET', '/api/auth/user', undefined, headers)).status).toBe(401);
    },
  );
});

describe.runIf(POSTGRES !== undefined)('a wait after wrong passwords', () => {
  const MINUTE = 60_000;

  it.each([
    ['ahead of', MINUTE],
    ['behind', -MINUTE],
  ])('a wait is equally long on a replica whose clock is %s those of the others', async (_, skew) => {
    const app = await freshApp();
    await createUser(app, 'ann');
    const limits = new SignInLimits({ database: app.domain.database });
    const waitOf = () =>
      limits.begin({ username: 'ann' }).then(
        () => 0,
        ({ details }: DomainError) => details.retryAfterSeconds,
      );
    await waitOf();
    await app.domain.database.prisma.signInFailure.updateMany({ data: { failures: 100 } });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + skew });
    onTestFinished(() => void vi.useRealTimers());
    expect(await waitOf()).toBeGreaterThan(20);
    expect(await waitOf()).toBeLessThanOrEqual(30);
  });
});
