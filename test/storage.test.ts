import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Database } from '../src/storage/database.ts';
import { isUnavailable, unavailability, uniqueViolation } from '../src/storage/database-error.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import { backupFile, checkIntegrity } from '../src/storage/sqlite/file.ts';
import { StartupError } from '../src/storage/startup-error.ts';
import { clusterRow } from './support/cluster-row.ts';
import { describeOnSqlite, itOnSqlite } from './support/database.ts';
import { locationOf, POSTGRES } from './support/database-location.ts';
import { inAnotherProcess, temporaryDirectory } from './support/directory.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';

async function place() {
  const directory = await temporaryDirectory();
  const file = join(directory, 'kitestring.db');
  const database = await openDatabase(locationOf(directory));
  onTestFinished(() => database.close());
  return { directory, file, database };
}

const create = (database: Database, name: string, more: object = {}) =>
  database.write('registry', (tx) => tx.cluster.create({ data: { ...clusterRow(name), ...more } }));

const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('counters', () => {
  it('a counter is raised first, passed to the change, and known when the write returns', async () => {
    const { database } = await place();
    const seen = await database.write(['status', 'registry'], async (tx, raised) => {
      expect(await database.counters()).toEqual({ registry: 0, status: 0, access: 0 });
      return { raised, stored: await tx.counter.findMany({ where: { value: 1 }, select: { name: true } }) };
    });
    expect(seen.raised).toEqual({ registry: 1, status: 1 });
    expect(seen.stored).toHaveLength(2);
    expect(await database.counters()).toEqual({ registry: 1, status: 1, access: 0 });
  });

  it('a counter keeps its value when the change fails', async () => {
    const { database } = await place();
    const failing = database.write('registry', async (tx) => {
      await tx.cluster.create({ data: clusterRow('never') });
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await database.counters()).toEqual({ registry: 0, status: 0, access: 0 });
    expect(await database.prisma.cluster.count()).toBe(0);
  });

  it('counters show commits of another process between our own writes', async () => {
    const { database, directory } = await place();
    await database.write('access', async () => {});
    expect((await database.counters()).access).toBe(1);
    await inAnotherProcess('raise', directory);
    expect((await database.counters()).access).toBe(2);
    await database.write('access', async () => {});
    expect((await database.counters()).access).toBe(3);
  });

  it('counters are never older than an acknowledged write', async () => {
    const { database } = await place();
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const raised = await database.write('status', async (_, counters) => counters.status ?? 0);
        expect((await database.counters()).status).toBeGreaterThanOrEqual(raised);
      }),
    );
    expect((await database.counters()).status).toBe(100);
  });
});

describe('transactions', () => {
  it('200 concurrent transactions that switch the default all succeed and leave one default', async () => {
    const { database } = await place();
    const ids: number[] = [];
    for (let index = 0; index < 20; index++) ids.push((await create(database, `cluster-${index}`)).id);
    await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        database.write('registry', async (tx) => {
          await tx.cluster.updateMany({ where: { isDefault: true }, data: { isDefault: false } });
          await tx.cluster.update({ where: { id: ids[index % 20] ?? 0 }, data: { isDefault: true } });
        }),
      ),
    );
    expect(await database.prisma.cluster.count({ where: { isDefault: true } })).toBe(1);
    expect((await database.counters()).registry).toBe(220);
  });

  it('a transaction is isolated: other queries see all of it or nothing', async () => {
    const { database } = await place();
    const opened = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const writing = database.write('registry', async (tx) => {
      await tx.cluster.create({ data: clusterRow('first') });
      opened.resolve();
      await goOn.promise;
      await tx.cluster.create({ data: clusterRow('second') });
    });
    await opened.promise;
    const reading = database.prisma.cluster.count().then((count) => count);
    goOn.resolve();
    // SQLite makes a query wait for the change before it; PostgreSQL answers it with the state before the change.
    expect(POSTGRES ? [0, 2] : [2]).toContain(await reading);
    await writing;
  });

  it('readers run between writers, however many writers wait', async () => {
    const { database } = await place();
    const done: string[] = [];
    // The connections to PostgreSQL are already open, so that only the order of the transactions matters.
    await Promise.all(Array.from({ length: 8 }, () => database.prisma.cluster.count()));
    const writes = Array.from({ length: 50 }, () =>
      database.write('status', async () => {}).then(() => done.push('write')),
    );
    const read = database.prisma.cluster.count().then(() => done.push('read'));
    await Promise.all([...writes, read]);
    expect(done.indexOf('read')).toBeLessThan(10);
  });

  it('waiting transactions do not block the event loop', async () => {
    const { database } = await place();
    let turns = 0;
    let waiting = true;
    const counting = (async () => {
      for (; waiting; turns++) await new Promise((resolve) => setImmediate(resolve));
    })();
    await Promise.all(Array.from({ length: 100 }, () => database.write('status', async () => {})));
    waiting = false;
    await counting;
    expect(turns).toBeGreaterThanOrEqual(100);
  });

  itOnSqlite('a transaction waits for another process without blocking this one', async () => {
    const { database, file } = await place();
    const other = new DatabaseSync(file);
    other.exec('BEGIN IMMEDIATE');
    let turns = 0;
    let waiting = true;
    const writing = create(database, 'patient').finally(() => {
      waiting = false;
    });
    while (waiting) {
      await new Promise((resolve) => setImmediate(resolve));
      expect(await database.prisma.cluster.count()).toBeLessThanOrEqual(1);
      if (++turns === 200) other.exec('COMMIT');
    }
    other.close();
    expect(turns).toBeGreaterThanOrEqual(200);
    expect((await writing).name).toBe('patient');
  });

  itOnSqlite('a transaction fails with a clear error when another process never ends', async () => {
    const { database, file } = await place();
    const other = new DatabaseSync(file);
    onTestFinished(() => other.close());
    other.exec('BEGIN IMMEDIATE');
    const error = await errorOf(create(database, 'impatient'));
    expect(unavailability(error)).toContain('another process');
    other.exec('ROLLBACK');
    await create(database, 'impatient');
  });

  itOnSqlite('transactions leak neither files nor memory', { timeout: atLoad(60_000) }, async () => {
    const { warm, after } = JSON.parse(await inAnotherProcess('soak', await temporaryDirectory()));
    expect(after.files).toBe(warm.files);
    expect(after.bytes - warm.bytes).toBeLessThan(32 * 2 ** 20);
  });
});

describe('stored values', () => {
  it('stored values are read back unchanged', async () => {
    const { database } = await place();
    const date = fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true });
    const values = fc.record({
      description: fc.string({ unit: 'grapheme', maxLength: 50 }).filter((text) => !text.includes('\0')),
      enabled: fc.boolean(),
      latencyMs: fc.option(fc.nat().map((micros) => micros / 1_000)),
      observedAt: fc.option(date),
      credentialsVersion: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    });
    let count = 0;
    await fc.assert(
      fc.asyncProperty(values, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), async (data, number) => {
        const labels = { create: { key: 'k', value: 'v', number } };
        const { id } = await create(database, `c${count++}`, { ...data, labels });
        const stored = await database.prisma.cluster.findUniqueOrThrow({ where: { id }, include: { labels: true } });
        expect(stored).toMatchObject(data);
        expect(stored.labels[0]?.number).toBe(number);
      }),
      { numRuns: 60 },
    );
  });

  it('JSON of every kind is stored and read back', async () => {
    const { database } = await place();
    for (const changes of [{ a: [1, null, 'é"'] }, [], 'text', '12', 12, 1.5, true]) {
      const data = { at: new Date(), actor: 'a', action: 'b', changes };
      const record = await database.prisma.auditRecord.create({ data });
      expect(record.changes).toEqual(changes);
    }
  });

  it('dates are ordered by time', async () => {
    const { database } = await place();
    const moments = ['2026-03-01T00:00:00.000Z', '2025-12-31T23:59:59.999Z', '2026-03-01T00:00:00.001Z'];
    for (const [index, moment] of moments.entries())
      await create(database, `c${index}`, { createdAt: new Date(moment) });
    const after = { createdAt: { gt: new Date('2025-12-31T23:59:59.999Z') } };
    const found = await database.prisma.cluster.findMany({ where: after, orderBy: { createdAt: 'desc' } });
    expect(found.map(({ name }) => name)).toEqual(['c2', 'c0']);
  });
});

describe('constraint violations', () => {
  it('a violation is reported by its kind: a name, a default or a uid that is taken, a row that does not exist', async () => {
    const { database } = await place();
    const { uid } = await create(database, 'one', { isDefault: true });
    expect(uniqueViolation(await errorOf(create(database, 'one')))).toBe('name');
    expect(uniqueViolation(await errorOf(create(database, 'two', { isDefault: true })))).toBe('default');
    expect(uniqueViolation(await errorOf(create(database, 'two', { uid })))).toBe('uid');
    const missing = await errorOf(database.write('registry', (tx) => tx.cluster.delete({ where: { id: 99 } })));
    expect(missing).toMatchObject({ code: 'P2025' });
    expect([isUnavailable(missing), uniqueViolation(missing)]).toEqual([false, undefined]);
  });

  it('a row without the row that it references is refused', async () => {
    const { database } = await place();
    const data = { clusterId: 99, key: 'a', value: 'b' };
    const error = await errorOf(database.write('registry', (tx) => tx.clusterLabel.create({ data })));
    expect(error).toMatchObject({ code: 'P2003' });
  });
});

describeOnSqlite('a failing database', () => {
  it('a full disk is reported, the change is rolled back, and the database recovers without intervention', async () => {
    const { database } = await place();
    const [{ page_count }] = await database.prisma.$queryRaw<[{ page_count: number }]>`PRAGMA page_count`;
    await database.prisma.$queryRawUnsafe(`PRAGMA max_page_count = ${page_count}`);
    const description = 'x'.repeat(100_000);
    expect(unavailability(await errorOf(create(database, 'big', { description })))).toBe('the disk is full');
    expect((await database.counters()).registry).toBe(0);
    await database.prisma.$queryRaw`PRAGMA max_page_count = 1000000`;
    await create(database, 'big', { description });
  });

  it('nothing more of a transaction is stored once SQLite has rolled it back', async () => {
    const { database } = await place();
    const writing = database.write('registry', async (tx) => {
      await tx.$executeRaw`ROLLBACK`;
      await tx.cluster.create({ data: clusterRow('alone') });
    });
    expect(isUnavailable(await errorOf(writing))).toBe(true);
    expect(await database.prisma.cluster.count()).toBe(0);
    await create(database, 'next');
  });

  it('the database is not ready while it cannot be written, and ready again afterwards', async () => {
    const { database } = await place();
    await database.prisma.$queryRaw`PRAGMA query_only = ON`;
    expect(unavailability(await errorOf(database.check()))).toBe('the database is read-only');
    expect(unavailability(await errorOf(create(database, 'one')))).toBe('the database is read-only');
    await database.prisma.$queryRaw`PRAGMA query_only = OFF`;
    await database.check();
    await create(database, 'one');
  });

  it('the database is not ready while its file has been moved', async () => {
    const { database, file } = await place();
    await rename(file, `${file}.moved`);
    await expect(database.check()).rejects.toThrow(/moved or replaced/);
    await rename(`${file}.moved`, file);
    await database.check();
  });

  it('a database that cannot be opened is reported in one sentence', async () => {
    const { directory, file, database } = await place();
    await database.close();
    const refusals = [
      [join(file, 'inside.db'), /cannot be written/],
      [new URL(import.meta.url).pathname, /is not a database/],
      [directory, /cannot be written/],
    ] as const;
    for (const [path, sentence] of refusals) {
      const opening = openDatabase({ file: path });
      await expect(opening).rejects.toBeInstanceOf(StartupError);
      await expect(opening).rejects.toThrow(sentence);
    }
  });

  it('a database can be closed twice, and reports afterwards that it is unavailable', async () => {
    const { database } = await place();
    await database.write('status', async () => {});
    await Promise.all([database.close(), database.close()]);
    expect(isUnavailable(await errorOf(create(database, 'late')))).toBe(true);
    expect(isUnavailable(await errorOf((async () => database.counters())()))).toBe(true);
  });
});

describeOnSqlite('files', () => {
  it('the files are accessible only to their owner', async () => {
    const { database, file } = await place();
    await create(database, 'one');
    for (const name of [file, `${file}-wal`]) expect((await stat(name)).mode & 0o777).toBe(0o600);
  });

  it('a backup is consistent as of one moment while writes continue', async () => {
    const { database, directory, file } = await place();
    const copy = join(directory, 'copy.db');
    let written = 0;
    let writing = true;
    const writers = Array.from({ length: 4 }, async () => {
      while (writing) {
        await database.write('registry', async (tx) => {
          const name = `cluster-${++written}`;
          await tx.cluster.create({ data: { ...clusterRow(name), description: 'x'.repeat(2_000) } });
          await tx.auditRecord.create({ data: { at: new Date(), actor: 'a', action: name, changes: {} } });
        });
      }
    });
    for (let round = 0; round < 3; round++) {
      const { registry } = await database.counters();
      await backupFile(file, copy);
      const restored = await openDatabase({ file: copy });
      const [clusters, records] = [await restored.prisma.cluster.count(), await restored.prisma.auditRecord.count()];
      expect((await restored.counters()).registry).toBe(clusters);
      expect(records).toBe(clusters);
      expect(clusters).toBeGreaterThanOrEqual(registry);
      await restored.close();
      checkIntegrity(copy);
    }
    writing = false;
    await Promise.all(writers);
    await expect(backupFile(file, file)).rejects.toThrow(/itself/);
  });
});
