import { describe, expect, it, vi } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { AuditLog } from '../src/domain/audit/audit-log.ts';
import { record } from '../src/domain/audit/record.ts';
import type { Database, Transaction } from '../src/storage/database.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import { countWaiting } from './support/database.ts';
import { locationOf, POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { onTestFinished } from './support/running-test.ts';

const caller = systemCaller('command line');
const now = () => new Date();
const entry = (action: string) => ({ action, at: now(), changes: {} });

async function open(dataDir: string): Promise<Database> {
  const database = await openDatabase(locationOf(dataDir));
  onTestFinished(() => database.close());
  return database;
}

/** A reader that repeatedly reads on from the newest record it has seen. */
async function follow(database: Database) {
  const log = new AuditLog({ database, now });
  await database.write('access', (tx) => record(tx, caller, entry('begin')));
  let cursor = (await log.page(caller, { first: 1 })).edges[0]?.cursor ?? '';
  const seen: string[] = [];
  return {
    seen,
    look: async () => {
      const { edges } = await log.page(caller, { last: 100, before: cursor });
      seen.push(...edges.map(({ node }) => node.action).reverse());
      cursor = edges[0]?.cursor ?? cursor;
    },
  };
}

type Write = (database: Database) => Promise<unknown>;
const second: [of: string, write: Write][] = [
  ['another counter', (database) => database.write('access', (tx) => record(tx, caller, entry('second')))],
  [
    'several records',
    (database) =>
      database.write('status', async (tx) => {
        const data = ['second', 'third'].map((action) => ({ ...entry(action), actor: 'a' }));
        await tx.auditRecord.createMany({ data });
      }),
  ],
  [
    'an attempt that was refused',
    (database) => new AuditLog({ database, now }).recordRefusal(caller, { action: 'second', outcome: 'FORBIDDEN' }),
  ],
];

describe.runIf(POSTGRES !== undefined)('readers that follow the audit log', () => {
  it.each(second)(
    'a reader misses no record of a change that commits while %s is written elsewhere',
    async (_of, write) => {
      const dataDir = await temporaryDirectory();
      const [one, other, reading] = [await open(dataDir), await open(dataDir), await open(dataDir)];
      const reader = await follow(reading);
      const recorded = Promise.withResolvers<Transaction>();
      const gate = Promise.withResolvers<void>();
      const slow = one.write('registry', async (tx) => {
        await record(tx, caller, entry('first'));
        recorded.resolve(tx);
        await gate.promise;
      });
      const tx = await recorded.promise;
      const quick = write(other);
      // The quick change waits for the slow one, or has been committed before it.
      await Promise.race([
        quick,
        vi.waitFor(async () => expect(await countWaiting(tx)).toBe(1), { timeout: 5_000, interval: 20 }),
      ]);
      await reader.look();
      gate.resolve();
      await Promise.all([slow, quick]);
      await reader.look();
      const stored = await reading.prisma.auditRecord.findMany({ orderBy: { id: 'asc' }, skip: 1 });
      expect(stored.length).toBeGreaterThanOrEqual(2);
      expect(reader.seen).toEqual(stored.map(({ action }) => action));
    },
  );

  it('a reader misses none of many records, and no write fails', async () => {
    const dataDir = await temporaryDirectory();
    const replicas = await Promise.all([1, 2, 3].map(() => open(dataDir)));
    const reader = await follow(await open(dataDir));
    let writing = true;
    const looking = (async () => {
      while (writing) await reader.look();
    })();
    const counters = ['registry', 'access', 'status'] as const;
    await Promise.all(
      replicas.flatMap((database, at) =>
        Array.from({ length: 25 }, async (_, round) => {
          await database.write(counters[(at + round) % 3] ?? 'status', (tx) =>
            record(tx, caller, entry(`${at} ${round}`)),
          );
          await new AuditLog({ database, now }).recordRefusal(caller, {
            action: `${at} ${round} refused`,
            outcome: 'NOT',
          });
        }),
      ),
    );
    writing = false;
    await looking;
    await reader.look();
    expect(reader.seen).toHaveLength(150);
    expect(new Set(reader.seen).size).toBe(150);
  });

  it('a write in one schema does not wait for a write in another', async () => {
    const [one, other] = [await open(await temporaryDirectory()), await open(await temporaryDirectory())];
    await one.write('registry', async (tx) => {
      await record(tx, caller, entry('held'));
      await other.write('registry', (elsewhere) => record(elsewhere, caller, entry('made')));
      expect(await countWaiting(tx)).toBe(0);
    });
    expect(await other.prisma.auditRecord.count()).toBe(1);
  });
});
