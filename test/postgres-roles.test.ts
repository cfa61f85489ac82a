import { describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { ApiKeys } from '../src/domain/accounts/api-keys.ts';
import { OpenIdUsers } from '../src/domain/accounts/open-id/open-id-users.ts';
import { Roles } from '../src/domain/accounts/roles.ts';
import { SignInLimits } from '../src/domain/accounts/sign-in-limits.ts';
import { Users } from '../src/domain/accounts/users.ts';
import { AuditLog } from '../src/domain/audit/audit-log.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import type { TestApp } from './support/app.ts';
import { whileAuditWaits } from './support/database.ts';
import { locationOf, POSTGRES } from './support/database-location.ts';
import { onTestFinished } from './support/running-test.ts';
import { createUser } from './support/users.ts';
import { freshApp } from './support/wire.ts';

const caller = systemCaller('command line');
const now = () => new Date();
const roles = ['ops'];
const person = (subject: string) => ({ subject, username: subject, name: '', roles });

/** Each way to grant a role, and the refusal once the role is deleted. */
const GRANTS: [string, (replica: Replica) => Promise<unknown>, string][] = [
  ['a key', ({ apiKeys }) => apiKeys.create(caller, { name: 'x', roles }), 'INVALID_INPUT'],
  ['a new person', ({ users }) => users.create(caller, { username: 'bob', roles }), 'INVALID_INPUT'],
  ['a person', ({ users }) => users.update(caller, { username: 'ann', roles }), 'INVALID_INPUT'],
  ['somebody new by OpenID Connect', ({ people }) => people.admit(caller, person('new'), 'SSO'), 'FORBIDDEN'],
  ['somebody known by OpenID Connect', ({ people }) => people.admit(caller, person('known'), 'SSO'), 'FORBIDDEN'],
];

type Replica = Awaited<ReturnType<typeof replicaOf>>;

async function replicaOf(app: TestApp) {
  const database = await openDatabase(locationOf(app.dataDir));
  onTestFinished(() => database.close());
  const audit = new AuditLog({ database, now });
  const options = { database, audit, now, roles: new Roles({ database, audit, now }) };
  const users = new Users({ ...options, limits: new SignInLimits(options) });
  return { users, apiKeys: new ApiKeys(options), people: new OpenIdUsers(options) };
}

describe.runIf(POSTGRES !== undefined)('a role that is deleted on one replica', () => {
  it.each(GRANTS)('a deleted role is not granted to %s on another replica meanwhile', async (_, grant, code) => {
    const app = await freshApp();
    const { prisma } = app.domain.database;
    await createUser(app, 'ann');
    await createUser(app, 'ada', ['admin']);
    await prisma.user.create({
      data: { subject: 'known', username: 'known', name: 'Known', provider: 'SSO', createdAt: now() },
    });
    await app.domain.roles.define(caller, { name: 'ops', actions: ['clusters.read'] });
    const replica = await replicaOf(app);
    const { deleting, granting } = await whileAuditWaits(app.dataDir, async (waiting) => {
      const deleting = app.domain.roles.delete(caller, 'ops');
      await expect.poll(waiting).toBe(1);
      const granting = grant(replica).then(
        () => 'given',
        (error) => error.code,
      );
      await expect.poll(waiting).toBe(2);
      return { deleting, granting };
    });
    await deleting;
    expect(await granting).toBe(code);
    expect(await prisma.userRole.count({ where: { role: 'ops' } })).toBe(0);
    expect((await prisma.apiKey.findMany()).flatMap((key) => key.roles)).not.toContain('ops');
  });
});
