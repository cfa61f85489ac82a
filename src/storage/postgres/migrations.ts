import { setTimeout as sleep } from 'node:timers/promises';
import { Client, DatabaseError, escapeIdentifier } from 'pg';
import {
  type AppliedMigration,
  applyMigrations,
  migrationsFolder,
  PATIENCE_MS,
  parseAppliedMigrations,
  pendingMigrations,
  SELECT_APPLIED_MIGRATIONS,
  waitForMigrationLock,
} from '../migrations.ts';
import { StartupError } from '../startup-error.ts';
import { setUp } from './pool.ts';
import type { PostgresLocation } from './url.ts';

/**
 * How long one attempt of a migration waits for table locks. Other queries of the table queue up behind the attempt.
 */
const LOCK_WAIT = '2s';
const LOCK_PAUSE_MS = 1_000;
const LOCK_NOT_AVAILABLE = '55P03';
const DIALECT = {
  createHistory: `CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    "id"                    VARCHAR(36) PRIMARY KEY NOT NULL,
    "checksum"              VARCHAR(64) NOT NULL,
    "finished_at"           TIMESTAMPTZ,
    "migration_name"        VARCHAR(255) NOT NULL,
    "logs"                  TEXT,
    "rolled_back_at"        TIMESTAMPTZ,
    "started_at"            TIMESTAMPTZ NOT NULL DEFAULT now(),
    "applied_steps_count"   INTEGER NOT NULL DEFAULT 0
)`,
  now: 'clock_timestamp()',
};

/**
 * Applies pending migrations. An advisory lock makes replicas that start at the same time migrate one after another.
 */
export async function migrate(location: PostgresLocation, folder = migrationsFolder('postgres')): Promise<void> {
  await withClient(location, async (client) => {
    const findPending = async () => pendingMigrations(folder, await appliedMigrations(client));
    await requireSuitableDatabase(client, location);
    if ((await findPending()).length === 0) return;
    await waitForMigrationLock(() => tryLock(client, location), 50);
    await createSchema(client, location);
    await applyMigrations(await findPending(), DIALECT, (script) => runScript(client, script));
  });
}

/**
 * Throws a StartupError if a server of any version has changed something in the database: every change raises a
 * counter.
 */
export async function requireUnused(location: PostgresLocation): Promise<void> {
  await withClient(location, async (client) => {
    await requireSuitableDatabase(client, location);
    if ((await appliedMigrations(client)).length === 0) return;
    const { rows } = await client.query('SELECT 1 FROM "Counter" WHERE "value" > 0');
    if (rows.length > 0)
      throw new StartupError('The database is not empty: choose a database that no server has used yet.');
  });
}

/** Runs `use` with a connection and closes it afterwards, which also releases its advisory locks. */
async function withClient(location: PostgresLocation, use: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client(location.client);
  client.on('error', ignore);
  await client.connect();
  try {
    await setUp(client, location);
    await use(client);
  } finally {
    await client.end();
  }
}

/**
 * Throws a StartupError unless the encoding is UTF8, which can store any text, and the connection uses the configured
 * schema. Without `?schema=`, PostgreSQL prefers a schema with the name of the user if one exists.
 */
async function requireSuitableDatabase(client: Client, { schema }: PostgresLocation): Promise<void> {
  const { rows } = await client.query(
    `SELECT current_schema() AS name, current_setting('server_encoding') AS encoding`,
  );
  const [{ name = null, encoding = '' } = {}] = rows;
  if (encoding !== 'UTF8')
    throw new StartupError(
      `DATABASE_URL names a database in the encoding ${encoding}: create one with ENCODING 'UTF8' TEMPLATE template0.`,
    );
  if (name !== null && name !== schema)
    throw new StartupError(`DATABASE_URL leads to the schema ${name} of its user: add ?schema=${name} to it.`);
}

/** Creates the schema if it does not exist. CREATE SCHEMA IF NOT EXISTS would require a privilege even if it exists. */
async function createSchema(client: Client, { schema }: PostgresLocation): Promise<void> {
  const { rows } = await client.query(
    `SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE') AS allowed
     FROM pg_namespace WHERE nspname = $1`,
    [schema],
  );
  if (rows.length === 0) await client.query(`CREATE SCHEMA ${escapeIdentifier(schema)}`);
  else if (!rows[0]?.allowed)
    throw new StartupError(
      `The user of DATABASE_URL may not create tables in the schema ${schema}: grant it CREATE and USAGE there, or name another with ?schema=.`,
    );
}

/**
 * Tries to acquire the migration lock of this schema, an advisory lock that PostgreSQL releases when the connection
 * ends. The same connection runs the migrations, so the lock outlives a killed process until its last script ends.
 * Returns undefined while another connection holds the lock.
 */
async function tryLock(client: Client, { schema }: PostgresLocation): Promise<true | undefined> {
  const text = `SELECT pg_try_advisory_lock(hashtext('kitestring migrates'), hashtext($1)) AS taken`;
  const [row] = (await client.query(text, [schema])).rows;
  return row?.taken || undefined;
}

async function appliedMigrations(client: Client): Promise<AppliedMigration[]> {
  const tables = await client.query(
    // pg_class also lists tables that the user may not read. Tables of extensions are excluded.
    `SELECT relname AS name FROM pg_class
     WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relkind IN ('r', 'p')
       AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')`,
  );
  const names = tables.rows.map(({ name }) => String(name));
  if (names.length === 0) return [];
  if (!names.includes('_prisma_migrations') || (names.length > 1 && !names.includes('Counter'))) throw foreignTables();
  return parseAppliedMigrations((await client.query(SELECT_APPLIED_MIGRATIONS)).rows);
}

function foreignTables(): StartupError {
  return new StartupError(
    'DATABASE_URL names a database that contains tables of another program: use an empty database, or add ?schema=kitestring for a separate schema.',
  );
}

/** Runs a script in one transaction. Retries for a minute while other sessions have locked its tables. */
async function runScript(client: Client, script: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  await client.query(`SET lock_timeout = '${LOCK_WAIT}'`);
  for (;;) {
    try {
      // PostgreSQL runs the statements of one message in one transaction.
      await client.query(script);
      return;
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.code !== LOCK_NOT_AVAILABLE) throw error;
      if (performance.now() > deadline)
        throw new Error('other sessions, such as a backup, have locked its tables for a minute', { cause: error });
    }
    await sleep(LOCK_PAUSE_MS);
  }
}

/** Ignores errors of an idle connection: the next query reports them. */
function ignore(): void {}
