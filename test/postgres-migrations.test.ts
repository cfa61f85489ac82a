import { spawn } from 'node:child_process';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { describe, expect, it, vi } from 'vitest';
import { migrationsFolder, readMigrations } from '../src/storage/migrations.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import { migrate } from '../src/storage/postgres/migrations.ts';
import { setUp } from '../src/storage/postgres/pool.ts';
import { type PostgresLocation, readPostgresUrl } from '../src/storage/postgres/url.ts';
import { CLUSTERS, startApp } from './support/app.ts';
import { databaseOf, POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { atLoad } from './support/load.ts';
import { failToStart } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

const ADDED = '20990101000000_added';
/**
 * The schema changes that one release may make while the previous release serves: a column that may be null or has a
 * default, a wider type, a table, an index.
 */
const EXPAND = `ALTER TABLE "Counter" ALTER COLUMN "value" TYPE BIGINT;
ALTER TABLE "Cluster" ALTER COLUMN "description" TYPE VARCHAR;
ALTER TABLE "ApiKey" ALTER COLUMN "name" TYPE VARCHAR;
ALTER TABLE "Cluster" ADD COLUMN "colour" TEXT;
ALTER TABLE "ApiKey" ADD COLUMN "note" TEXT NOT NULL DEFAULT '';
CREATE TABLE "Added" ("id" SERIAL PRIMARY KEY, "clusterId" INTEGER REFERENCES "Cluster" ("id") ON DELETE CASCADE);
CREATE INDEX "Cluster_colour_idx" ON "Cluster" ("colour");`;

/** A PostgreSQL database, and a copy of the migrations that a test may extend. */
async function makeMigrationSetup() {
  const dataDir = await temporaryDirectory();
  const url = databaseOf(dataDir).DATABASE_URL ?? '';
  const place = readPostgresUrl(url);
  const folder = join(dataDir, 'migrations');
  await cp(migrationsFolder('postgres'), folder, { recursive: true });
  const add = async (name: string, sql: string) => {
    await mkdir(join(folder, name), { recursive: true });
    await writeFile(join(folder, name, 'migration.sql'), sql);
  };
  return { dataDir, url, place, folder, add, client: await connect(place) };
}

async function connect(place: PostgresLocation): Promise<Client> {
  const connected = new Client(place.client);
  await connected.connect();
  await setUp(connected, place);
  onTestFinished(() => connected.end());
  return connected;
}

const historyOf = async (client: Client) =>
  (
    await client.query(
      `SELECT migration_name AS name, finished_at IS NOT NULL AS finished, rolled_back_at IS NOT NULL AS "rolledBack"
       FROM _prisma_migrations WHERE migration_name LIKE '2099%' ORDER BY started_at`,
    )
  ).rows;

/** The table as Prisma's schema engine creates it, which earlier versions used. */
const ENGINE_HISTORY = `CREATE TABLE _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
)`;

/** Every column, index, constraint and trigger of the current schema, without the schema's name. */
async function schemaOf(client: Client): Promise<unknown[]> {
  const { rows } = await client.query(
    `WITH own AS (SELECT oid, relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace)
     SELECT replace(text, current_schema(), '') AS text FROM (
       SELECT concat_ws(' ', table_name, ordinal_position, column_name, udt_name, character_maximum_length,
         is_nullable, column_default, collation_name) AS text
         FROM information_schema.columns WHERE table_schema = current_schema()
       UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()
       UNION ALL SELECT concat_ws(' ', relname, conname, pg_get_constraintdef(pg_constraint.oid))
         FROM pg_constraint JOIN own ON conrelid = own.oid
       UNION ALL SELECT pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger JOIN own ON tgrelid = own.oid WHERE NOT tgisinternal
     ) AS found ORDER BY text`,
  );
  expect(rows.length).toBeGreaterThan(50);
  return rows;
}

/** Starts a separate replica that migrates the database to the migrations of a folder. */
function startMigrating(url: string, folder: string) {
  const from = (file: string) =>
    JSON.stringify(fileURLToPath(new URL(`../src/storage/postgres/${file}`, import.meta.url)));
  const program = `import { migrate } from ${from('migrations.ts')}; import { readPostgresUrl } from ${from('url.ts')};
    await migrate(readPostgresUrl(process.env.URL), process.env.FOLDER);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env: { PATH: process.env.PATH, URL: url, FOLDER: folder },
    stdio: 'ignore',
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  onTestFinished(() => void child.kill('SIGKILL'));
  return { ended, kill: () => void child.kill('SIGKILL') };
}

describe.runIf(POSTGRES !== undefined)('migrations of PostgreSQL', () => {
  it("migrations apply while a replica of the previous version reads and writes, and refuse that version's next start", async () => {
    const { dataDir, place, folder, add, client } = await makeMigrationSetup();
    const app = await startApp({ DATA_DIR: dataDir });
    onTestFinished(() => app.close());
    const answers: [what: string, status: number, errors?: unknown][] = [];
    let migrated = false;
    let round = 0;
    const sendRequest = async () => {
      const name = `made-${++round}`;
      const made = await app.rest('POST', CLUSTERS, { name, config: kubeconfig() });
      const listed = await app.rest('GET', CLUSTERS);
      const read = await app.graphql(
        '{ clusters(first: 5) { nodes { name labels { key } credential { kind } } } viewer { __typename } }',
      );
      const changed = await app.rest('PUT', `${CLUSTERS}${made.body.id}`, { description: 'changed' });
      answers.push(['made', made.status], ['listed', listed.status], ['changed', changed.status]);
      answers.push(['read', read.status, read.errors]);
      if (round > 2) answers.push(['removed', (await app.rest('DELETE', `${CLUSTERS}${made.body.id}`)).status]);
    };
    // Every statement becomes a named prepared statement before the tables change.
    for (let warm = 0; warm < 8; warm++) await sendRequest();
    const asking = (async () => {
      while (!migrated) await sendRequest();
    })();
    await add(ADDED, EXPAND);
    await migrate(place, folder);
    migrated = true;
    await asking;
    const before = answers.length;
    for (let after = 0; after < 5; after++) await sendRequest();
    expect(answers.length).toBeGreaterThan(before);
    expect(answers.filter(([, status, errors]) => status >= 300 || errors !== undefined)).toEqual([]);
    expect(await historyOf(client)).toEqual([{ name: ADDED, finished: true, rolledBack: false }]);
    const refused = await failToStart({ dataDir });
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toMatch(
      /^The database has migration 20990101000000_added, which this version does not know[^\n]+\n$/,
    );
  });

  it('migrations that wait for a long reader delay no other caller', async () => {
    const { dataDir, place, folder, add, client } = await makeMigrationSetup();
    const app = await startApp({ DATA_DIR: dataDir });
    onTestFinished(() => app.close());
    // pg_dump reads like this.
    const reader = await connect(place);
    await reader.query('SET idle_in_transaction_session_timeout = 0');
    await reader.query('BEGIN; LOCK TABLE "Cluster" IN ACCESS SHARE MODE');
    await add(ADDED, EXPAND);
    const migrating = migrate(place, folder);
    const waiting = `SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
      AND relation = '"Cluster"'::regclass`;
    await vi.waitFor(async () => expect((await client.query(waiting)).rowCount).toBe(1), { timeout: 20_000 });
    const until = performance.now() + 8_000;
    for (let round = 0; performance.now() < until; round++) {
      const began = performance.now();
      expect((await app.rest('POST', CLUSTERS, { name: `made-${round}`, config: kubeconfig() })).status).toBe(201);
      expect((await app.rest('GET', CLUSTERS)).status).toBe(200);
      // Each of the two may be delayed by the migration once.
      expect(performance.now() - began).toBeLessThan(atLoad(6_000));
    }
    expect(await historyOf(client)).toEqual([]);
    await reader.query('COMMIT');
    await migrating;
    expect(await historyOf(client)).toEqual([{ name: ADDED, finished: true, rolledBack: false }]);
  });

  it('a migration that changes a type fails neither changes nor reads with older prepared statements', async () => {
    const { url, client } = await makeMigrationSetup();
    const database = await openDatabase({ url });
    onTestFinished(() => database.close());
    const raise = () => database.write('registry', async (_, { registry }) => registry);
    const read = () => database.prisma.counter.findMany({ select: { value: true }, where: { name: 'registry' } });
    // Often enough for the statement to be prepared.
    for (let warm = 1; warm < 10; warm++) expect([await raise(), await read()]).toEqual([warm, [{ value: warm }]]);
    await client.query('ALTER TABLE "Counter" ALTER COLUMN "value" TYPE BIGINT');
    expect(await raise()).toBe(10);
    await client.query('ALTER TABLE "Counter" ALTER COLUMN "value" TYPE INTEGER');
    expect([await read(), await raise()]).toEqual([[{ value: 10 }], 11]);
    expect((await database.counters()).registry).toBe(11);
  });

  it('migrations are applied once when many replicas start at once on an empty database', async () => {
    const { place, folder, add, client } = await makeMigrationSetup();
    await add(ADDED, EXPAND);
    await Promise.all(Array.from({ length: 8 }, () => migrate(place, folder)));
    expect(await historyOf(client)).toEqual([{ name: ADDED, finished: true, rolledBack: false }]);
  });

  it('migrations of one schema do not wait for those of another, and let a command exit immediately', async () => {
    const { url, folder, client } = await makeMigrationSetup();
    // Takes the lock of Prisma's schema engine, as a migration elsewhere in the database does.
    await client.query('SELECT pg_advisory_lock(72707369)');
    const { ended } = startMigrating(url, folder);
    const began = performance.now();
    expect(await ended).toBe(0);
    expect(performance.now() - began).toBeLessThan(atLoad(9_000));
  });

  it('failed migrations are named, leave nothing behind, and apply once they are fixed', async () => {
    const { place, folder, add, client } = await makeMigrationSetup();
    await add(ADDED, `CREATE TABLE "Half" ("id" INTEGER);\nINSERT INTO "missing" VALUES (1);`);
    await expect(migrate(place, folder)).rejects.toThrow(/20990101000000_added failed and changed nothing .*missing/);
    expect((await client.query(`SELECT to_regclass('"Half"') AS half`)).rows).toEqual([{ half: null }]);
    await add(ADDED, 'CREATE TABLE "Half" ("id" INTEGER);');
    await migrate(place, folder);
    expect((await client.query('SELECT * FROM "Half"')).rows).toEqual([]);
  });

  it('a database that the schema engine has migrated is migrated further, and gets the same schema as a new one', async () => {
    const [old, fresh] = [await makeMigrationSetup(), await makeMigrationSetup()];
    const [first, ...rest] = await readMigrations(old.folder);
    if (!first) throw new Error('there is no migration');
    await old.client.query(`CREATE SCHEMA ${old.place.schema};\n${ENGINE_HISTORY};\n${first.script}`);
    await old.client.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
       VALUES ('x', $1, $2, now(), 1)`,
      [first.checksum, first.name],
    );
    for (const { place, folder } of [old, fresh]) await migrate(place, folder);
    expect((await old.client.query('SELECT * FROM _prisma_migrations')).rows).toHaveLength(rest.length + 1);
    expect(await schemaOf(fresh.client)).toEqual(await schemaOf(old.client));
  });

  it('a migration that an earlier version had begun on PostgreSQL is run again', async () => {
    const { place, folder, add, client } = await makeMigrationSetup();
    await migrate(place, folder);
    await client.query(`INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', 'y', '${ADDED}')`);
    await add(ADDED, 'CREATE TABLE "Late" ("id" INTEGER);');
    await migrate(place, folder);
    expect(await historyOf(client)).toEqual([
      { name: ADDED, finished: false, rolledBack: true },
      { name: ADDED, finished: true, rolledBack: false },
    ]);
    expect((await client.query('SELECT * FROM "Late"')).rows).toEqual([]);
  });

  it('a migration on PostgreSQL that differs from the one that was applied is rejected', async () => {
    const { place, folder, add } = await makeMigrationSetup();
    await add(ADDED, 'CREATE TABLE "Added" ("id" INTEGER);');
    await migrate(place, folder);
    await add(ADDED, 'CREATE TABLE "Added" ("id" BIGINT);');
    await expect(migrate(place, folder)).rejects.toThrow(
      'Migration 20990101000000_added is not the one that was applied to the database: start the version that applied it, or restore a backup.',
    );
  });

  it('a migration of a replica that is killed is applied whole or not at all, and another replica continues', async () => {
    const { url, place, folder, add, client } = await makeMigrationSetup();
    await (await openDatabase({ url })).close();
    await add(ADDED, `CREATE TABLE "Late" ("id" INTEGER);\n${EXPAND}`);
    // A slow reader blocks the script halfway.
    const reader = await connect(place);
    await reader.query('SET idle_in_transaction_session_timeout = 0');
    await reader.query('BEGIN; LOCK TABLE "Cluster" IN ACCESS SHARE MODE');
    const killed = startMigrating(url, folder);
    const waiting = async () =>
      (await client.query(`SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '"Cluster"'::regclass`)).rowCount;
    await vi.waitFor(async () => expect(await waiting()).toBe(1), { timeout: 20_000, interval: 50 });
    killed.kill();
    await killed.ended;
    expect((await client.query(`SELECT to_regclass('"Late"') AS late`)).rows).toEqual([{ late: null }]);
    const next = migrate({ ...place, client: { ...place.client, application_name: place.schema } }, folder);
    // The starting replica repeatedly checks whether the script of the killed one has ended; the server does not know
    // of the kill.
    const asked = new Set<unknown>();
    const asking = async () => {
      const lastStatement = 'SELECT query_start::text AS at FROM pg_stat_activity WHERE application_name = $1';
      const { rows } = await client.query(lastStatement, [place.schema]);
      for (const { at } of rows) asked.add(at);
      expect(asked.size).toBeGreaterThan(4);
    };
    await vi.waitFor(asking, { timeout: 20_000, interval: 20 });
    await reader.query('COMMIT');
    await next;
    expect((await client.query('SELECT * FROM "Late"')).rows).toEqual([]);
    const finished = (await historyOf(client)).filter(({ finished, rolledBack }) => finished && !rolledBack);
    expect(finished).toHaveLength(1);
    await rm(folder, { recursive: true });
  });
});
