// Empty databases in which Prisma's schema engine compares the migrations with the models. They are dropped afterwards.
import { fileURLToPath } from 'node:url';
import { PrismaPg } from '@prisma/adapter-pg';
import type { SqlDriverAdapter, SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils';
import { Client, type ClientBase, escapeIdentifier, Pool, type QueryResult } from 'pg';
import { migrationsFolder } from '../src/storage/migrations.ts';
import { setUp } from '../src/storage/postgres/pool.ts';
import type { PostgresLocation } from '../src/storage/postgres/url.ts';
import { SqliteConnection } from '../src/storage/sqlite/connection.ts';
import type { KINDS } from './clients.ts';
import type { MigrationSource } from './schema-engine.ts';

/** Type ids from pg_type. */
const CHAR = 18;
const TEXT = 25;

/** The models and migrations of SQLite. */
export function sqliteSource(): MigrationSource {
  // The schema engine writes strings in double quotes, which SQLite treats as column names without this option.
  const open = async () => new SqliteConnection(':memory:', { enableDoubleQuotedStringLiterals: true });
  return sourceOf('sqlite', {
    provider: 'sqlite',
    adapterName: 'node:sqlite',
    connect: open,
    async connectToShadowDb() {
      const shadow = await open();
      // The engine passes whole scripts to the method for single statements.
      shadow.executeRaw = async ({ sql }) => {
        await shadow.executeScript(sql);
        return 0;
      };
      return shadow;
    },
  });
}

/** The models and migrations of PostgreSQL. `location` names a server on which the user may create databases. */
export function postgresSource(location: PostgresLocation): MigrationSource {
  return sourceOf('postgres', {
    provider: 'postgres',
    adapterName: '@prisma/adapter-pg',
    connect: () => connect(location),
    connectToShadowDb: () => connectToShadow(location),
  });
}

function sourceOf(kind: (typeof KINDS)[number], shadow: SqlMigrationAwareDriverAdapterFactory): MigrationSource {
  const schema = [`${kind}.prisma`, 'models.prisma'].map((file) => fileURLToPath(new URL(file, import.meta.url)));
  return { schema, folder: migrationsFolder(kind), shadow };
}

async function connect(location: PostgresLocation): Promise<SqlDriverAdapter> {
  // A single connection, because the engine relies on settings of earlier statements. The engine never closes it.
  const onConnect = (client: ClientBase) => setUp(client, location);
  const pool = new Pool({ ...location.client, max: 1, allowExitOnIdle: true, onConnect });
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<QueryResult>;
  // The engine reads columns of PostgreSQL's type "char", which the adapter does not support.
  Object.assign(pool, {
    query: async (...args: unknown[]) => {
      const result = await query(...args);
      for (const field of result.fields ?? []) if (field.dataTypeID === CHAR) field.dataTypeID = TEXT;
      return result;
    },
  });
  const connection = await new PrismaPg(pool, { schema: location.schema, disposeExternalPool: true }).connect();
  // The adapter's own method splits a script at each semicolon.
  connection.executeScript = async (script) => void (await query(script));
  return connection;
}

async function connectToShadow({ client }: PostgresLocation): Promise<SqlDriverAdapter> {
  const database = `kitestring_shadow_${crypto.randomUUID().replaceAll('-', '')}`;
  const run = async (statement: string) => {
    const connected = new Client(client);
    await connected.connect();
    await connected.query(statement).finally(() => connected.end());
  };
  await run(`CREATE DATABASE ${escapeIdentifier(database)}`);
  const url = new URL(client.connectionString ?? '');
  url.pathname = `/${database}`;
  const shadow = await connect({ client: { ...client, connectionString: url.href }, schema: 'public' });
  const dispose = shadow.dispose.bind(shadow);
  shadow.dispose = async () => {
    await dispose();
    await run(`DROP DATABASE ${escapeIdentifier(database)}`);
  };
  return shadow;
}
