import { setTimeout as sleep } from 'node:timers/promises';
import { PrismaPg } from '@prisma/adapter-pg';
import type { SqlDriverAdapter, SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils';
import { Client, type ClientBase, DatabaseError, escapeIdentifier, Pool, type QueryResult } from 'pg';
import {
  APPLIED,
  type AppliedMigration,
  appliedOf,
  applyMigrations,
  migratedBy,
  PATIENCE_MS,
  pendingMigrations,
  waitForMigrationLock,
} from '../migrations.ts';
import { StartupError } from '../startup-error.ts';
import { setUp } from './pool.ts';
import type { PostgresLocation } from './url.ts';

/** How long a migration waits for a table at once. Whoever else asks for the table waits behind it, with their callers. */
const LOCK_WAIT = '2s';
const LOCK_PAUSE_MS = 1_000;
const LOCK_NOT_AVAILABLE = '55P03';
/** Ids of types, as in pg_type. */
const CHAR = 18;
const TEXT = 25;
/** Held by each connection that runs migrations, for as long as the server has it. */
const RUNS = `hashtext('kitestring runs a migration')`;

/** Brings the database to this version's models. Replicas that start at once take turns. */
export async function migrate(place: PostgresLocation, folder?: string): Promise<void> {
  const shipped = migratedBy('postgres', postgresForSchemaEngine(place));
  const postgres = { ...shipped, folder: folder ?? shipped.folder };
  await withClient(place, async (client) => {
    await refuseUnfit(client, place);
    if ((await pendingMigrations(postgres.folder, await appliedMigrations(client))).length === 0) return;
    await waitForMigrationLock(() => takeLock(client, place), 50);
    await makeSchema(client, place);
    const applied = await appliedMigrations(client);
    if ((await pendingMigrations(postgres.folder, applied)).length > 0) await applyMigrations(postgres, applied);
  });
}

/** Refuses a database in which something was changed, of whichever version; every change raises a counter. */
export async function refuseUsed(place: PostgresLocation): Promise<void> {
  await withClient(place, async (client) => {
    await refuseUnfit(client, place);
    if ((await appliedMigrations(client)).length === 0) return;
    const { rows } = await client.query('SELECT 1 FROM "Counter" WHERE "value" > 0');
    if (rows.length > 0) throw new StartupError('The database is not empty: name one that no server has used yet.');
  });
}

/** One connection; what is locked ends with it. */
async function withClient(place: PostgresLocation, use: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client(place.client);
  client.on('error', ignore);
  await client.connect();
  try {
    await setUp(client, place);
    await use(client);
  } finally {
    await client.end();
  }
}

/** Without `?schema=` PostgreSQL looks into a schema that is called as the user first; any text is stored, in one encoding alone. */
async function refuseUnfit(client: Client, { schema }: PostgresLocation): Promise<void> {
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

/** PostgreSQL asks for the right to make a schema even where there is one. */
async function makeSchema(client: Client, { schema }: PostgresLocation): Promise<void> {
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
 * An advisory lock of this schema: it ends with the process, however that ends. The script of a process that was killed
 * may still run in the server: it has ended once the other lock is free. Undefined while another has either.
 */
async function takeLock(client: Client, { schema }: PostgresLocation): Promise<true | undefined> {
  const text = `SELECT pg_try_advisory_lock(hashtext('kitestring migrates'), hashtext($1)) AS taken,
    pg_try_advisory_xact_lock(${RUNS}, hashtext($1)) AS alone`;
  const [row] = (await client.query(text, [schema])).rows;
  return (row?.taken && row.alone) || undefined;
}

async function appliedMigrations(client: Client): Promise<AppliedMigration[]> {
  const tables = await client.query(
    // Those that the user may not read too, but none of an extension.
    `SELECT relname AS name FROM pg_class
     WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relkind IN ('r', 'p')
       AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')`,
  );
  const names = tables.rows.map(({ name }) => String(name));
  if (names.length === 0) return [];
  if (!names.includes('_prisma_migrations') || (names.length > 1 && !names.includes('Counter'))) throw foreign();
  return appliedOf((await client.query(APPLIED)).rows);
}

function foreign(): StartupError {
  return new StartupError(
    'DATABASE_URL names a database that holds the tables of another program: name an empty one, or a schema of its own with ?schema=kitestring.',
  );
}

/** The connections of Prisma's schema engine; whoever uses them keeps other migrations out by a lock of their own. */
export function postgresForSchemaEngine(place: PostgresLocation): SqlMigrationAwareDriverAdapterFactory {
  const about = { provider: 'postgres', adapterName: '@prisma/adapter-pg' } as const;
  return { ...about, connect: () => connect(place), connectToShadowDb: () => connectToShadow(place) };
}

async function connect(place: PostgresLocation): Promise<SqlDriverAdapter> {
  const { client, schema } = place;
  const onConnect = async (connection: ClientBase) => {
    await setUp(connection, place);
    await connection.query('SET idle_in_transaction_session_timeout = 0');
  };
  // One connection: what the engine sets on it must hold for what it does next.
  const pool = new Pool({ ...client, max: 1, idleTimeoutMillis: 0, onConnect });
  pool.on('error', ignore);
  await pool.query(`SELECT pg_advisory_lock_shared(${RUNS}, hashtext($1))`, [schema]);
  const query = pool.query.bind(pool) as (...given: unknown[]) => Promise<QueryResult>;
  // The engine asks for PostgreSQL's "char", which the adapter does not know.
  Object.assign(pool, {
    query: async (...given: unknown[]) => {
      const result = await query(...given);
      for (const field of result.fields ?? []) if (field.dataTypeID === CHAR) field.dataTypeID = TEXT;
      return result;
    },
  });
  const connection = await new PrismaPg(pool, { schema, disposeExternalPool: true }).connect();
  const execute = connection.executeRaw.bind(connection);
  // The engine's lock is one for all schemas of a database, and waited for 10 s at most.
  connection.executeRaw = async (query) => (query.sql.includes('pg_advisory_lock') ? 0 : execute(query));
  // As one message it is one transaction; the adapter's own cuts it at each semicolon.
  connection.executeScript = (script) => runScript(pool, script);
  // The engine ends a shadow itself, and whoever started the engine ends all that it opened.
  connection.dispose = once(connection.dispose.bind(connection));
  return connection;
}

/** Runs a script, which is whole or not there, as soon as nobody is in its way. */
async function runScript(pool: Pool, script: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  // A query of the pool ends its connection when it fails, and the lock with it.
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
          throw new Error('others have been using its tables for a minute, as a backup does', { cause: error });
      }
      await sleep(LOCK_PAUSE_MS);
    }
  } finally {
    client.off('error', ignore).release();
  }
}

/** What breaks while nothing is asked shows at the next question. */
function ignore(): void {}

function once(end: () => Promise<void>): () => Promise<void> {
  let ending: Promise<void> | undefined;
  return () => {
    ending ??= end();
    return ending;
  };
}

/** A database for the time of a comparison. */
async function connectToShadow(place: PostgresLocation): Promise<SqlDriverAdapter> {
  const database = `kitestring_shadow_${crypto.randomUUID().replaceAll('-', '')}`;
  const run = async (statement: string) => {
    const client = new Client(place.client);
    await client.connect();
    await client.query(statement).finally(() => client.end());
  };
  await run(`CREATE DATABASE ${escapeIdentifier(database)}`);
  const url = new URL(place.client.connectionString ?? '');
  url.pathname = `/${database}`;
  const shadow = await connect({ client: { ...place.client, connectionString: url.href }, schema: 'public' });
  const dispose = shadow.dispose.bind(shadow);
  shadow.dispose = once(async () => {
    await dispose();
    await run(`DROP DATABASE ${escapeIdentifier(database)}`);
  });
  return shadow;
}
