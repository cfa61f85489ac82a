import { spawnSync } from 'node:child_process';
import { appendFile, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { nextMigration } from '../prisma/schema-engine.ts';
import { sqliteSource } from '../prisma/shadow-databases.ts';
import { identityOf } from '../src/storage/database-identity.ts';
import { readMigrations } from '../src/storage/migrations.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import { openSqlite } from '../src/storage/sqlite/file.ts';
import { migrate } from '../src/storage/sqlite/migrations.ts';
import { StartupError } from '../src/storage/startup-error.ts';
import { itOnSqlite } from './support/database.ts';
import { inAnotherProcess, temporaryDirectory } from './support/directory.ts';
import { onTestFinished } from './support/running-test.ts';

const shipped = sqliteSource();
/** The table as Prisma's schema engine creates it, which earlier versions used. */
const ENGINE_HISTORY = `CREATE TABLE "_prisma_migrations" (
    "id"                    TEXT PRIMARY KEY NOT NULL,
    "checksum"              TEXT NOT NULL,
    "finished_at"           DATETIME,
    "migration_name"        TEXT NOT NULL,
    "logs"                  TEXT,
    "rolled_back_at"        DATETIME,
    "started_at"            DATETIME NOT NULL DEFAULT current_timestamp,
    "applied_steps_count"   INTEGER UNSIGNED NOT NULL DEFAULT 0
)`;

/** A database, and a copy of the migrations that a test may extend. */
async function place() {
  const directory = await temporaryDirectory();
  const file = join(directory, 'kitestring.db');
  const folder = join(directory, 'migrations');
  await cp(shipped.folder, folder, { recursive: true });
  const database = openSqlite(file);
  onTestFinished(() => database.close());
  return {
    ...{ directory, file, folder, database },
    migrate: () => migrate(file, database, folder),
    history: () => database.prepare('SELECT * FROM _prisma_migrations ORDER BY started_at, finished_at').all(),
    add: async (name: string, sql: string) => {
      await mkdir(join(folder, name), { recursive: true });
      await writeFile(join(folder, name, 'migration.sql'), sql);
    },
  };
}

describe('migrations', () => {
  it('the migrations match the models', async () => {
    expect(await nextMigration(shipped)).toBeUndefined();
  });

  it('nextMigration returns the SQL for changed models, and the partial index remains', async () => {
    const schema = join(await temporaryDirectory(), 'changed.prisma');
    const [head = '', file = ''] = shipped.schema;
    const models = await readFile(file, 'utf8');
    await writeFile(schema, models.replace(/^(model Cluster \{)$/m, '$1\n  colour Int'));
    const sql = await nextMigration({ ...shipped, schema: [head, schema] });
    expect(sql).toContain('"colour" INTEGER NOT NULL');
    expect(sql).toMatch(/CREATE UNIQUE INDEX "Cluster_one_default" .* WHERE/);
  });

  it('the command line checks the migrations', () => {
    const program = fileURLToPath(new URL('../prisma/next-migration.ts', import.meta.url));
    expect(spawnSync(process.execPath, [program, '--check']).status).toBe(0);
    expect(spawnSync(process.execPath, [program]).status).toBe(2);
  });

  it('migrations apply once, also after a restart', async () => {
    const { migrate, history } = await place();
    await migrate();
    const after = history();
    expect(after.every((row) => row.finished_at !== null)).toBe(true);
    await migrate();
    expect(history().slice(0, after.length)).toEqual(after);
  });

  itOnSqlite('migrations apply once when several processes start at once', async () => {
    const directory = await temporaryDirectory();
    await Promise.all(Array.from({ length: 4 }, () => inAnotherProcess('open', directory)));
    const database = new DatabaseSync(join(directory, 'kitestring.db'));
    const names = database.prepare('SELECT migration_name FROM _prisma_migrations').all();
    database.close();
    const folders = await readdir(shipped.folder, { withFileTypes: true });
    expect(names).toHaveLength(folders.filter((entry) => entry.isDirectory()).length);
    expect(await readdir(directory)).toEqual(['kitestring.db']);
  });

  it('migrations apply once when one process opens the database several times concurrently', async () => {
    const file = join(await temporaryDirectory(), 'kitestring.db');
    const opened = await Promise.all(Array.from({ length: 4 }, () => openDatabase({ file })));
    for (const database of opened) expect(await database.counters()).toEqual({ registry: 0, status: 0, access: 0 });
    await Promise.all(opened.map((database) => database.close()));
  });

  it('migrations create ids that are never reused, and the counter rows', async () => {
    const { migrate, database } = await place();
    await migrate();
    const tables = database.prepare("SELECT sql FROM sqlite_master WHERE name = 'Cluster'").get();
    expect(tables?.sql).toContain('AUTOINCREMENT');
    expect(database.prepare('SELECT name FROM Counter ORDER BY name').all()).toHaveLength(3);
  });

  it('a failed migration is named, leaves nothing behind, and applies once it is fixed', async () => {
    const { migrate, add, database } = await place();
    await add('20990101000000_broken', 'CREATE TABLE "half" ("id" INTEGER);\nINSERT INTO "missing" VALUES (1);');
    await expect(migrate()).rejects.toThrow(/20990101000000_broken .*missing/);
    await expect(migrate()).rejects.toBeInstanceOf(StartupError);
    expect(database.prepare("SELECT name FROM sqlite_master WHERE name = 'half'").all()).toEqual([]);
    await add('20990101000000_broken', 'CREATE TABLE "half" ("id" INTEGER);');
    await migrate();
    expect(database.prepare('SELECT * FROM "half"').all()).toEqual([]);
  });

  it('a migration that would leave a dangling reference is rejected', async () => {
    const { migrate, add } = await place();
    await add('20990101000000_loose', `INSERT INTO "ClusterLabel" ("clusterId", "key", "value") VALUES (1, 'a', 'b');`);
    await expect(migrate()).rejects.toThrow(/20990101000000_loose.*ClusterLabel/);
  });

  it('a migration that a killed process had begun is run again', async () => {
    const { migrate, add, database, history } = await place();
    await migrate();
    database.exec(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', 'y', '20990101000000_late')`,
    );
    await add('20990101000000_late', 'CREATE TABLE "late" ("id" INTEGER);');
    await migrate();
    expect(history().find(({ id }) => id === 'x')?.rolled_back_at).not.toBeNull();
    expect(database.prepare('SELECT * FROM "late"').all()).toEqual([]);
  });

  it('a database that the schema engine has migrated is migrated further, and gets the same schema as a new one', async () => {
    const [old, fresh] = [await place(), await place()];
    const [first, ...rest] = await readMigrations(shipped.folder);
    if (!first) throw new Error('there is no migration');
    old.database.exec(`${ENGINE_HISTORY};\n${first.script}`);
    old.database
      .prepare(`INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
        VALUES ('x', ?, ?, date() || 'T00:00:00.000+00:00', date() || 'T00:00:00.010+00:00', 1)`)
      .run(first.checksum, first.name);
    await Promise.all([old.migrate(), fresh.migrate()]);
    expect(old.history()).toHaveLength(rest.length + 1);
    const database = await openDatabase({ file: old.file });
    onTestFinished(() => database.close());
    expect(await identityOf(database)).toBe('x');
    const schemaOf = ({ database }: typeof old) =>
      database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name').all();
    expect(schemaOf(fresh)).toEqual(schemaOf(old));
  });

  it('a migration and its row in the history are one transaction', async () => {
    const { migrate, add, database, history } = await place();
    await migrate();
    const before = history();
    database.exec(`CREATE TRIGGER "refused" BEFORE INSERT ON "_prisma_migrations"
      BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`);
    await add('20990101000000_unrecorded', 'CREATE TABLE "unrecorded" ("id" INTEGER);');
    await expect(migrate()).rejects.toThrow(
      'Migration 20990101000000_unrecorded failed and changed nothing (the disk is full): fix the cause and start again, or start the previous version.',
    );
    expect(database.prepare("SELECT name FROM sqlite_master WHERE name = 'unrecorded'").all()).toEqual([]);
    expect(history()).toEqual(before);
  });

  it('migrations of a newer version and changed migrations are rejected', async () => {
    const { migrate, add, folder } = await place();
    await add('20990101000000_newer', 'CREATE TABLE "newer" ("id" INTEGER);');
    await migrate();
    await appendFile(join(folder, '20990101000000_newer', 'migration.sql'), '-- changed');
    await expect(migrate()).rejects.toThrow(/20990101000000_newer is not the one/);
    await rm(join(folder, '20990101000000_newer'), { recursive: true });
    await expect(migrate()).rejects.toThrow(/20990101000000_newer, which this version does not know/);
  });
});
