import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Database, openDatabase } from '../src/storage/database.ts';
import { isUnavailable, unavailability, uniqueViolation } from '../src/storage/database-error.ts';
import { backupFile, checkIntegrity } from '../src/storage/sqlite/file.ts';
import { StartupError } from '../src/storage/startup-error.ts';
import { clusterRow } from './support/cluster-row.ts';
import { describeFile, itOfFile } from './support/database.ts';
import { locationOf, POSTGRES } from './support/database-location.ts';
import { inAnotherProcess, temporaryDirectory } from './support/directory.ts';

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
  it('are raised first, handed to the change, and known when the write returns', async () => {
    const { database } = await place();
    const seen = await database.write(['status', 'registry'], async (tx, raised) => {
      expect(await database.counters()).toEqual({ registry: 0, status: 0, access: 0 });
      return { raised, stored: await tx.counter.findMany({ where: { value: 1 }, select: { name: true } }) };
    });
    expect(seen.raised).toEqual({ registry: 1, status: 1 });
    expect(seen.stored).toHaveLength(2);
    expect(await database.counters()).toEqual({ registry: 1, status: 1, access: 0 });
  });

  it('stay when the change fails', async () => {
    const { database } = await place();
    const failing = database.write('registry', async (tx) => {
      await tx.cluster.create({ data: clusterRow('never') });
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await database.counters()).toEqual({ registry: 0, status: 0, access: 0 });
    expect(await database.prisma.cluster.count()).toBe(0);
  });

  it('show what another process has committed, between writes of our own', async () => {
    const { database, directory } = await place();
    await database.write('access', async () => {});
    expect((await database.counters()).access).toBe(1);
    await inAnotherProcess('raise', directory);
    expect((await database.counters()).access).toBe(2);
    await database.write('access', async () => {});
    expect((await database.counters()).access).toBe(3);
  });

  it('are never older than a write that was acknowledged', async () => {
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
  it('switch the default 200 times at once: all done, one default', async () => {
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

  it('let nobody else in: a query of others sees all of it or nothing', async () => {
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
    // SQLite lets a query wait for the change before it; PostgreSQL answers it from before.
    expect(POSTGRES ? [0, 2] : [2]).toContain(await reading);
    await writing;
  });

  it('let readers in between writers, however many wait', async () => {
    const { database } = await place();
    const done: string[] = [];
    // Connections to PostgreSQL are there: it is the order among them that counts.
    await Promise.all(Array.from({ length: 8 }, () => database.prisma.cluster.count()));
    const writes = Array.from({ length: 50 }, () =>
      database.write('status', async () => {}).then(() => done.push('write')),
    );
    const read = database.prisma.cluster.count().then(() => done.push('read'));
    await Promise.all([...writes, read]);
    expect(done.indexOf('read')).toBeLessThan(10);
  });

  it('leave the event loop its turns while many wait', async () => {
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

  itOfFile('wait for another process without holding up this one', async () => {
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

  itOfFile('give up with a clear error when another process never ends', async () => {
    const { database, file } = await place();
    const other = new DatabaseSync(file);
    onTestFinished(() => other.close());
    other.exec('BEGIN IMMEDIATE');
    const error = await errorOf(create(database, 'impatient'));
    expect(unavailability(error)).toContain('another process');
    other.exec('ROLLBACK');
    await create(database, 'impatient');
  });

  itOfFile('neither leak files nor memory', { timeout: 60_000 }, async () => {
    const { warm, after } = JSON.parse(await inAnotherProcess('soak', await temporaryDirectory()));
    expect(after.files).toBe(warm.files);
    expect(after.bytes - warm.bytes).toBeLessThan(32 * 2 ** 20);
  });
});

describe('stored values', () => {
  it('come back as they were', async () => {
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

  it('keep JSON of every kind', async () => {
    const { database } = await place();
    for (const changes of [{ a: [1, null, 'é"'] }, [], 'text', '12', 12, 1.5, true]) {
      const data = { at: new Date(), actor: 'a', action: 'b', changes };
      const record = await database.prisma.auditRecord.create({ data });
      expect(record.changes).toEqual(changes);
    }
  });

  it('order dates by time', async () => {
    const { database } = await place();
    const moments = ['2026-03-01T00:00:00.000Z', '2025-12-31T23:59:59.999Z', '2026-03-01T00:00:00.001Z'];
    for (const [index, moment] of moments.entries())
      await create(database, `c${index}`, { createdAt: new Date(moment) });
    const after = { createdAt: { gt: new Date('2025-12-31T23:59:59.999Z') } };
    const found = await database.prisma.cluster.findMany({ where: after, orderBy: { createdAt: 'desc' } });
    expect(found.map(({ name }) => name)).toEqual(['c2', 'c0']);
  });
});

describe('what the database refuses', () => {
  it('is told as a fact: a name, a default or a uid that is taken, a row that is not there', async () => {
    const { database } = await place();
    const { uid } = await create(database, 'one', { isDefault: true });
    expect(uniqueViolation(await errorOf(create(database, 'one')))).toBe('name');
    expect(uniqueViolation(await errorOf(create(database, 'two', { isDefault: true })))).toBe('default');
    expect(uniqueViolation(await errorOf(create(database, 'two', { uid })))).toBe('uid');
    const missing = await errorOf(database.write('registry', (tx) => tx.cluster.delete({ where: { id: 99 } })));
    expect(missing).toMatchObject({ code: 'P2025' });
    expect([isUnavailable(missing), uniqueViolation(missing)]).toEqual([false, undefined]);
  });

  it('is a row without the row it refers to', async () => {
    const { database } = await place();
    const data = { clusterId: 99, key: 'a', value: 'b' };
    const error = await errorOf(database.write('registry', (tx) => tx.clusterLabel.create({ data })));
    expect(error).toMatchObject({ code: 'P2003' });
  });
});

describeFile('a database in trouble', () => {
  it('says that the disk is full, keeps nothing of the change, and recovers by itself', async () => {
    const { database } = await place();
    const [{ page_count }] = await database.prisma.$queryRaw<[{ page_count: number }]>`PRAGMA page_count`;
    await database.prisma.$queryRawUnsafe(`PRAGMA max_page_count = ${page_count}`);
    const description = 'x'.repeat(100_000);
    expect(unavailability(await errorOf(create(database, 'big', { description })))).toBe('the disk is full');
    expect((await database.counters()).registry).toBe(0);
    await database.prisma.$queryRaw`PRAGMA max_page_count = 1000000`;
    await create(database, 'big', { description });
  });

  it('stores nothing more of a transaction that SQLite ended by itself', async () => {
    const { database } = await place();
    const writing = database.write('registry', async (tx) => {
      await tx.$executeRaw`ROLLBACK`;
      await tx.cluster.create({ data: clusterRow('alone') });
    });
    expect(isUnavailable(await errorOf(writing))).toBe(true);
    expect(await database.prisma.cluster.count()).toBe(0);
    await create(database, 'next');
  });

  it('is not ready while it cannot be written, and ready again afterwards', async () => {
    const { database } = await place();
    await database.prisma.$queryRaw`PRAGMA query_only = ON`;
    expect(unavailability(await errorOf(database.check()))).toBe('the database is read-only');
    expect(unavailability(await errorOf(create(database, 'one')))).toBe('the database is read-only');
    await database.prisma.$queryRaw`PRAGMA query_only = OFF`;
    await database.check();
    await create(database, 'one');
  });

  it('is not ready while its file is somewhere else', async () => {
    const { database, file } = await place();
    await rename(file, `${file}.moved`);
    await expect(database.check()).rejects.toThrow(/moved or replaced/);
    await rename(`${file}.moved`, file);
    await database.check();
  });

  it('refuses to open with one sentence', async () => {
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

  it('closes twice, and answers afterwards that it is unavailable', async () => {
    const { database } = await place();
    await database.write('status', async () => {});
    await Promise.all([database.close(), database.close()]);
    expect(isUnavailable(await errorOf(create(database, 'late')))).toBe(true);
    expect(isUnavailable(await errorOf((async () => database.counters())()))).toBe(true);
  });
});

describeFile('files', () => {
  it('are for their owner alone', async () => {
    const { database, file } = await place();
    await create(database, 'one');
    for (const name of [file, `${file}-wal`]) expect((await stat(name)).mode & 0o777).toBe(0o600);
  });

  it('are backed up as of one moment while writes go on', async () => {
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
