import { COUNTER_JUMP, COUNTERS, type Database, SEQUENTIAL_ID_TABLES, type Transaction } from '../database.ts';
import { StartupError } from '../startup-error.ts';
import { MAX_ID } from './backup-file.ts';
import { type Revocations, readAccess, reapplyRevocations } from './restore-access.ts';

/**
 * Tables that are not replaced by the backup's. The first three describe this file and the processes that use it and
 * stay as they are; the others have their own functions below.
 */
const NOT_REPLACED = ['_prisma_migrations', 'Replica', 'ProbeLease', 'Counter', 'ApiKey', 'AuditRecord'];

const REGISTRY = `(SELECT "value" FROM main."Counter" WHERE "name" = 'registry')`;
const STATUS = `(SELECT "value" FROM main."Counter" WHERE "name" = 'status')`;

type Run = (sql: string) => Promise<number>;

/**
 * Replaces the content of this database with the content of the database in `file`, in one transaction. Both must have
 * the same migrations. Counters, revisions and ids continue from the higher value, so that no cached response or open
 * connection elsewhere seems current. API keys that were revoked or disabled since the backup stay so, keys from the
 * configuration stay unchanged, and no audit record is lost. `finish` runs inside the transaction and receives the
 * revocations since the backup.
 */
export async function restoreInto<T>(
  database: Database,
  file: string,
  finish: (tx: Transaction, revocations: Revocations) => Promise<T>,
): Promise<T> {
  const { prisma } = database;
  await prisma.$executeRaw`ATTACH DATABASE ${file} AS "backup"`;
  try {
    await rejectForeignContent(database);
    return await database.write(COUNTERS, async (tx) => {
      const run: Run = (sql) => tx.$executeRawUnsafe(sql);
      await run('PRAGMA defer_foreign_keys = ON');
      await raiseCounters(run);
      const access = await readAccess(tx);
      // restoreRows() deletes the users before it inserts them again. Without this, their API keys would be deleted
      // too.
      await run('UPDATE main."ApiKey" SET "ownerId" = NULL');
      await restoreRows(tx, run);
      await markChanged(run);
      await restoreApiKeys(tx, run);
      const revocations = await reapplyRevocations(tx, access);
      await addAuditRecords(tx, run);
      await raiseIds(run);
      return finish(tx, revocations);
    });
  } finally {
    await prisma.$executeRaw`DETACH DATABASE "backup"`;
  }
}

/** Throws a StartupError if the backup has objects that this database lacks: both have the same migrations. */
async function rejectForeignContent({ prisma }: Database): Promise<void> {
  const objects = await prisma.$queryRaw<unknown[]>`
    SELECT "type", "name", "tbl_name" FROM "backup".sqlite_master WHERE "name" NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    EXCEPT SELECT "type", "name", "tbl_name" FROM main.sqlite_master`;
  if (objects.length > 0)
    throw new StartupError('The backup contains tables that do not belong to Kitestring: choose another backup.');
  for (const table of SEQUENTIAL_ID_TABLES) {
    const outOfRange = `SELECT 1 FROM "backup"."${table}" WHERE "id" < 1 OR "id" >= ${MAX_ID} LIMIT 1`;
    if ((await prisma.$queryRawUnsafe<unknown[]>(outOfRange)).length > 0)
      throw new StartupError('The backup contains ids that are out of range: choose another backup.');
  }
}

async function raiseCounters(run: Run): Promise<void> {
  await run(`UPDATE main."Counter" SET "value" = ${COUNTER_JUMP} + max("value",
    coalesce((SELECT kept."value" FROM "backup"."Counter" AS kept WHERE kept."name" = "Counter"."name"), 0))`);
}

async function restoreRows(tx: Transaction, run: Run): Promise<void> {
  const found = await tx.$queryRaw<{ name: string }[]>`
    SELECT "name" FROM main.sqlite_master WHERE "type" = 'table' AND "name" NOT LIKE 'sqlite\\_%' ESCAPE '\\'`;
  const tables = found.map(({ name }) => name).filter((name) => !NOT_REPLACED.includes(name));
  // Empty every table before inserting the first row, because a delete cascades to referring tables.
  for (const table of tables) await run(`DELETE FROM main."${table}"`);
  for (const table of tables) {
    const columns = (await columnsOf(tx, table)).join();
    await run(`INSERT INTO main."${table}" (${columns}) SELECT ${columns} FROM "backup"."${table}"`);
  }
}

/**
 * Restores the API keys except keys that were revoked since the backup: keys with an id that this database has already
 * assigned but no longer contains.
 */
async function restoreApiKeys(tx: Transaction, run: Run): Promise<void> {
  const columns = await columnsOf(tx, 'ApiKey');
  const updates = columns.filter((column) => column !== '"disabled"').map((column) => `${column} = excluded.${column}`);
  await run(`DELETE FROM main."ApiKey"
    WHERE "source" <> 'CONFIGURATION' AND "id" NOT IN (SELECT "id" FROM "backup"."ApiKey")`);
  await run(`INSERT INTO main."ApiKey" (${columns.join()})
    SELECT ${columns.join()} FROM "backup"."ApiKey" AS kept
    WHERE kept."source" <> 'CONFIGURATION' AND (
      kept."id" IN (SELECT "id" FROM main."ApiKey")
      OR kept."id" > coalesce((SELECT "seq" FROM main.sqlite_sequence WHERE "name" = 'ApiKey'), 0))
    ON CONFLICT ("id") DO UPDATE SET ${updates.join()}, "disabled" = max("disabled", excluded."disabled")
    WHERE "ApiKey"."source" <> 'CONFIGURATION'`);
}

async function addAuditRecords(tx: Transaction, run: Run): Promise<void> {
  const columns = (await columnsOf(tx, 'AuditRecord')).filter((column) => column !== '"id"');
  const same = columns.map((column) => `here.${column} IS kept.${column}`).join(' AND ');
  await run(`INSERT INTO main."AuditRecord" (${columns.join()})
    SELECT ${columns.join()} FROM "backup"."AuditRecord" AS kept
    WHERE NOT EXISTS (SELECT 1 FROM main."AuditRecord" AS here WHERE ${same}) ORDER BY kept."id"`);
}

/**
 * Marks every cluster as changed. A revision never exceeds the `registry` counter, because each change increments both.
 */
async function markChanged(run: Run): Promise<void> {
  await run(`UPDATE main."Cluster" SET "revision" = ${REGISTRY}, "credentialsVersion" = ${REGISTRY},
    "registryChange" = ${REGISTRY}, "statusChange" = ${STATUS}`);
}

async function raiseIds(run: Run): Promise<void> {
  await run(`UPDATE main.sqlite_sequence SET "seq" = max("seq",
    coalesce((SELECT kept."seq" FROM "backup".sqlite_sequence AS kept WHERE kept."name" = sqlite_sequence."name"), 0))`);
  await run(`INSERT INTO main.sqlite_sequence ("name", "seq") SELECT "name", "seq" FROM "backup".sqlite_sequence
    WHERE "name" NOT IN (SELECT "name" FROM main.sqlite_sequence)`);
}

/** The quoted column names of a table. Copies name their columns, because databases may order them differently. */
async function columnsOf(tx: Transaction, table: string): Promise<string[]> {
  const found = await tx.$queryRaw<{ name: string }[]>`SELECT "name" FROM pragma_table_info(${table}, 'main')`;
  return found.map(({ name }) => `"${name}"`);
}
