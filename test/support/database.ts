import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { describe, it } from 'vitest';
import type { Database, Transaction } from '../../src/storage/database.ts';
import { openDatabase } from '../../src/storage/open-database.ts';
import { locationOf, POSTGRES } from './database-location.ts';
import { onTestFinished } from './running-test.ts';

/** For tests that apply only to a database in a file: on PostgreSQL they are skipped, and the run reports it. */
export const describeOnSqlite = describe.runIf(POSTGRES === undefined);
export const itOnSqlite = it.runIf(POSTGRES === undefined);

/** Reads rows directly from the database, bypassing the product; names in the SQL must be in double quotes. */
export async function rowsOf(dataDir: string, sql: string, ...values: (string | number)[]) {
  const location = locationOf(dataDir);
  if (location.file !== undefined) {
    const database = new DatabaseSync(location.file, { readOnly: true });
    try {
      return database.prepare(sql).all(...values);
    } finally {
      database.close();
    }
  }
  const url = new URL(location.url);
  const schema = url.searchParams.get('schema');
  url.searchParams.delete('schema');
  const client = new Client({ connectionString: url.href, options: `-c search_path=${schema}` });
  await client.connect();
  try {
    let at = 0;
    const { rows } = await client.query(
      sql.replaceAll('?', () => `$${++at}`),
      values,
    );
    return rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

/** Returns every row that PostgreSQL stores for a data directory, as one text. */
export async function allRowsOf(dataDir: string): Promise<string> {
  const tables = await rowsOf(
    dataDir,
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = current_schema()',
  );
  const texts: string[] = [];
  for (const { name } of tables) texts.push(JSON.stringify(await rowsOf(dataDir, `SELECT * FROM "${name}"`)));
  return texts.join('\n');
}

/** Returns a function. Its result changes once any access data has been written. */
export function versionOf(dataDir: string): () => Promise<unknown> {
  const location = locationOf(dataDir);
  if (location.url !== undefined) {
    const tables = ['ApiKey', 'AuditRecord', 'Counter', 'Session', 'SignInFailure'];
    const versions = tables.map((table) => `SELECT xmin::text, '${table}' AS of FROM "${table}"`);
    return () => rowsOf(dataDir, `${versions.join(' UNION ALL ')} ORDER BY 2, 1`);
  }
  const watching = new DatabaseSync(location.file, { readOnly: true });
  onTestFinished(() => watching.close());
  return async () => watching.prepare('PRAGMA data_version').get();
}

/** Counts the sessions that wait for this PostgreSQL transaction, directly or behind another waiting session. */
export async function countWaiting(tx: Transaction): Promise<number> {
  // Not pg_stat_activity: a transaction keeps seeing its content as of the first read.
  const rows = await tx.$queryRaw<unknown[]>`WITH RECURSIVE behind("pid") AS (
      SELECT pg_backend_pid() UNION SELECT waiting."pid" FROM pg_locks AS waiting
      JOIN behind ON behind."pid" = ANY(pg_blocking_pids(waiting."pid")) WHERE NOT waiting."granted"
    ) SELECT "pid" FROM behind`;
  return rows.length - 1;
}

/**
 * Blocks writes of audit records while `run` works. `run` gets a function that counts the sessions waiting, directly or
 * behind another one.
 */
export async function whileAuditWaits<T>(dataDir: string, run: (waiting: () => Promise<number>) => Promise<T>) {
  const database = await openDatabase(locationOf(dataDir));
  onTestFinished(() => database.close());
  return database.prisma.$transaction(async (tx) => {
    await tx.$executeRaw`LOCK TABLE "AuditRecord" IN SHARE MODE`;
    return run(() => countWaiting(tx));
  });
}

/** Makes the database refuse every audit record, or only the records of one cluster, while `work` runs. */
export function whileAuditFails<T>(database: Database, work: () => Promise<T>, clusterName?: string): Promise<T> {
  const when = clusterName === undefined ? '' : `WHEN (NEW."clusterName" = '${clusterName}')`;
  return whileRefusing(database, { event: 'INSERT ON "AuditRecord"', when, code: 'P0001' }, work);
}

/** Makes the database refuse every change while `work` runs, like a read-only one. */
export async function whileReadOnly<T>(database: Database, work: () => Promise<T>): Promise<T> {
  const { kind, prisma } = database;
  if (kind === 'postgres')
    return whileRefusing(database, { event: 'UPDATE ON "Counter"', when: '', code: '25006' }, work);
  await prisma.$queryRaw`PRAGMA query_only = ON`;
  try {
    return await work();
  } finally {
    await prisma.$queryRaw`PRAGMA query_only = OFF`;
  }
}

/** Makes every raise of a counter fail while `work` runs, with an error that does not mean an unavailable database. */
export function whileCountersFail<T>(database: Database, work: () => Promise<T>): Promise<T> {
  return whileRefusing(database, { event: 'UPDATE ON "Counter"', when: '', code: 'P0001' }, work);
}

interface RefusedChange {
  readonly event: string;
  readonly when: string;
  /** The PostgreSQL error code; SQLite uses one code for all. */
  readonly code: string;
}

async function whileRefusing<T>(
  { kind, prisma }: Database,
  { event, when, code }: RefusedChange,
  work: () => Promise<T>,
): Promise<T> {
  const run = (sql: string) => prisma.$executeRawUnsafe(sql);
  if (kind === 'postgres')
    await run(`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = TG_ARGV[0]; END $$`);
  const action =
    kind === 'postgres'
      ? `FOR EACH ROW ${when} EXECUTE FUNCTION refuse('${code}')`
      : `${when} BEGIN SELECT RAISE(ABORT, 'refused'); END`;
  await run(`CREATE TRIGGER "refused" BEFORE ${event} ${action}`);
  try {
    return await work();
  } finally {
    await run(`DROP TRIGGER "refused"${kind === 'postgres' ? event.slice(event.indexOf(' ON ')) : ''}`);
  }
}
