import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { requireActionOnAll } from '../src/domain/access/permissions.ts';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { ApiKeys } from '../src/domain/accounts/api-keys.ts';
import { Roles } from '../src/domain/accounts/roles.ts';
import { AuditLog } from '../src/domain/audit/audit-log.ts';
import { reseal } from '../src/domain/credentials/sealed-kubeconfigs.ts';
import { changeRegistry } from '../src/domain/registry-change.ts';
import type { Database } from '../src/storage/database.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import { Seal, sealKey } from '../src/storage/seal.ts';
import { clusterRow } from './support/cluster-row.ts';
import { countWaiting } from './support/database.ts';
import { locationOf, POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { onTestFinished } from './support/running-test.ts';

const caller = systemCaller('command line');
const now = () => new Date();

async function open(dataDir?: string): Promise<Database> {
  const database = await openDatabase(locationOf(dataDir ?? (await temporaryDirectory())));
  onTestFinished(() => database.close());
  return database;
}

/**
 * Makes the first transaction that does this to a table fail with a conflict at its commit, when all its work is done.
 */
async function conflictOnce({ prisma }: Database, table: string, event: 'INSERT' | 'UPDATE'): Promise<void> {
  // A sequence keeps its value when a transaction is rolled back.
  for (const statement of [
    'CREATE SEQUENCE "attempts"',
    `CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('attempts') = 1 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$`,
    `CREATE CONSTRAINT TRIGGER "conflicts" AFTER ${event} ON "${table}" DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION conflict()`,
  ])
    await prisma.$executeRawUnsafe(statement);
}

const attempts = async ({ prisma }: Database) =>
  (await prisma.$queryRaw<{ count: number }[]>`SELECT "last_value"::int AS "count" FROM "attempts"`)[0]?.count;

describe.runIf(POSTGRES !== undefined)('a transaction that is retried after a conflict', () => {
  it('the first admin key is shown once, and it is the stored one', async () => {
    const database = await open();
    await conflictOnce(database, 'ApiKey', 'INSERT');
    const audit = new AuditLog({ database, now });
    const apiKeys = new ApiKeys({ database, audit, now, roles: new Roles({ database, audit, now }) });
    const shown: string[] = [];
    await apiKeys.ensureFirst(caller, async (text) => void shown.push(text));
    expect(await attempts(database)).toBe(2);
    expect(shown).toHaveLength(1);
    const request = { ...(await database.counters()), local: false };
    expect(await apiKeys.authenticate(shown[0] ?? '', request)).toMatchObject({ roles: ['admin'] });
    const next = await apiKeys.create(caller, { name: 'next', roles: [] });
    expect(next.id).toBeGreaterThan(Number(/^kite(\d+)-/.exec(shown[0] ?? '')?.[1]));
  });

  it('a kubeconfig that cannot be decrypted is reported once', async () => {
    const database = await open();
    const [old, first] = [sealKey(randomBytes(32)), sealKey(randomBytes(32))];
    const place = { table: 'ClusterCredential', column: 'sealed', uid: 'elsewhere' };
    const sealed = new Seal([old]).seal('kubeconfig', place);
    for (const name of ['opens', 'does not open']) {
      const { id, uid } = await database.prisma.cluster.create({ data: clusterRow(name) });
      const value = name === 'opens' ? new Seal([old]).seal('kubeconfig', { ...place, uid }) : sealed;
      await database.prisma.clusterCredential.create({ data: { clusterId: id, sealed: value, keyId: old.id } });
    }
    await conflictOnce(database, 'ClusterCredential', 'UPDATE');
    const ids: number[] = [];
    const { done, failures } = await reseal(database, new Seal([first, old]), (count) => ids.push(count));
    expect(await attempts(database)).toBe(2);
    expect([done, failures.map(({ name }) => name), ids]).toEqual([1, ['does not open'], [1]]);
  });

  it('a retry takes a new number, and the old one stays with the transaction that got it', async () => {
    const dataDir = await temporaryDirectory();
    const policy = { allowHttp: false } as never;
    const replica = async () => {
      const database = await open(dataDir);
      return { database, audit: new AuditLog({ database, now }), now, policy, ownChanges: new Set<number>() };
    };
    const [first, second] = [await replica(), await replica()];
    const numbers: number[] = [];
    const allowed = requireActionOnAll(caller, 'clusters.create');
    let other: Promise<number> | undefined;
    await changeRegistry(first, allowed, async (tx, { registryChange }) => {
      numbers.push(registryChange);
      if (other) return;
      other = changeRegistry(second, allowed, async (_, stamp) => stamp.registryChange);
      await expect.poll(() => countWaiting(tx)).toBe(1);
      await tx.$executeRaw`DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$`;
    });
    const [had = 0] = numbers;
    expect([numbers, await other]).toEqual([[had, had + 1], had]);
    expect([[...first.ownChanges], [...second.ownChanges]]).toEqual([[had + 1], [had]]);
  });
});
