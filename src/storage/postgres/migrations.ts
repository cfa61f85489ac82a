import { setTimeout as sleep } from 'node:timers/promises';
import { PrismaPg } from '@prisma/adapter-pg';
import type { SqlDriverAdapter, SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils';
import { Client, type ClientBase, DatabaseError, escapeIdentifier, Pool, type QueryResult } from 'pg';
import {
  type AppliedMigration,
  applyMigrations,
  migratedBy,
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
/** Type ids from pg_type. */
const CHAR = 18;
const TEXT = 25;
/** The advisory lock of a connection that runs migrations. PostgreSQL releases it when the connection ends. */
const RUN_LOCK = `hashtext('kitestring runs a migration')`;

/**
 * Applies pending migrations. An advisory lock makes replicas that start at the same time migrate one after another.
 */
export async function migrate(location: PostgresLocation, folder?: string): Promise<void> {
  const shipped = migratedBy('postgres', postgresForSchemaEngine(location));
  const postgres = { ...shipped, folder: folder ?? shipped.folder };
  await withClient(location, async (client) => {
    await requireSuitableDatabase(client, location);
    if ((await pendingMigrations(postgres.folder, await appliedMigrations(client))).length === 0) return;
    await waitForMigrationLock(() => tryLock(client, location), 50);
    await createSchema(client, location);
    const applied = await appliedMigrations(client);
    if ((await pendingMigrations(postgres.folder, applied)).length > 0) await applyMigrations(postgres, applied);
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
 * Tries to acquire the migration lock of this schema, an advisory lock that PostgreSQL releases when the process ends
 * in any way. Also checks that RUN_LOCK is free: PostgreSQL may still be running the script of a killed process.
 * Returns undefined while another process holds either lock.
 */
async function tryLock(client: Client, { schema }: PostgresLocation): Promise<true | undefined> {
  const text = `SELECT pg_try_advisory_lock(hashtext('kitestring migrates'), hashtext($1)) AS taken,
    pg_try_advisory_xact_lock(${RUN_LOCK}, hashtext($1)) AS alone`;
  const [row] = (await client.query(text, [schema])).rows;
  return (row?.taken && row.alone) || undefined;
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

/** Creates the connections of Prisma's schema engine. The caller must hold a lock that excludes other migrations. */
export function postgresForSchemaEngine(location: PostgresLocation): SqlMigrationAwareDriverAdapterFactory {
  const about = { provider: 'postgres', adapterName: '@prisma/adapter-pg' } as const;
  return { ...about, connect: () => connect(location), connectToShadowDb: () => connectToShadow(location) };
}

async function connect(location: PostgresLocation): Promise<SqlDriverAdapter> {
  const { client, schema } = location;
  const onConnect = async (connection: ClientBase) => {
    await setUp(connection, location);
    await connection.query('SET idle_in_transaction_session_timeout = 0');
  };
  // A single connection, because the engine relies on settings of earlier statements.
  const pool = new Pool({ ...client, max: 1, idleTimeoutMillis: 0, onConnect });
  pool.on('error', ignore);
  await pool.query(`SELECT pg_advisory_lock_shared(${RUN_LOCK}, hashtext($1))`, [schema]);
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<QueryResult>;
  // The engine reads columns of PostgreSQL's type "char", which the adapter does not support.
  Object.assign(pool, {
    query: async (...args: unknown[]) => {
      const result = await query(...args);
      for (const field of result.fields ?? []) if (field.dataTypeID === CHAR) field.dataTypeID = TEXT;
      return result;
    },
  });
  const connection = await new PrismaPg(pool, { schema, disposeExternalPool: true }).connect();
  const execute = connection.executeRaw.bind(connection);
  // Skips the engine's own lock, which covers every schema of the database and times out after 10 s.
  connection.executeRaw = async (query) => (query.sql.includes('pg_advisory_lock') ? 0 : execute(query));
  // A script sent as one message runs in one transaction. The adapter's own method splits it at each semicolon.
  connection.executeScript = (script) => runScript(pool, script);
  // Disposed of twice: the engine disposes of a shadow database, then `withSchemaEngine` of every connection.
  connection.dispose = once(connection.dispose.bind(connection));
  return connection;
}

/** Runs a script atomically. Retries for a minute while other sessions have locked its tables. */
async function runScript(pool: Pool, script: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  // pool.query() would close the connection if the script fails, which would release RUN_LOCK.
  const client = await pool.connect();
  client.on('error', ignore);
  try {
    await client.query(`SET lock_timeout = '${LOCK_WAIT}'`);
    for (;;) {
      try {
        await client.query(script);
        return;
      } catch (error) {
        if (!(error instanceof DatabaseError) || error.code !== LOCK_NOT_AVAILABLE) throw error;
        if (performance.now() > deadline)
          throw new Error('other sessions, such as a backup, have locked its tables for a minute', { cause: error });
      }
      await sleep(LOCK_PAUSE_MS);
    }
  } finally {
    client.off('error', ignore).release();
  }
}

/** Ignores errors of an idle connection: the next query reports them. */
function ignore(): void {}

function once(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= run();
    return running;
  };
}

/** Creates a temporary database, in which the engine compares the migrations with the models. */
async function connectToShadow(location: PostgresLocation): Promise<SqlDriverAdapter> {
  const database = `kitestring_shadow_${crypto.randomUUID().replaceAll('-', '')}`;
  const run = async (statement: string) => {
    const client = new Client(location.client);
    await client.connect();
    await client.query(statement).finally(() => client.end());
  };
  await run(`CREATE DATABASE ${escapeIdentifier(database)}`);
  const url = new URL(location.client.connectionString ?? '');
  url.pathname = `/${database}`;
  const shadow = await connect({ client: { ...location.client, connectionString: url.href }, schema: 'public' });
  const dispose = shadow.dispose.bind(shadow);
  shadow.dispose = once(async () => {
    await dispose();
    await run(`DROP DATABASE ${escapeIdentifier(database)}`);
  });
  return shadow;
}
