import { AHEAD, COUNTERS, type Database, NUMBERED, type Transaction } from '../database.ts';
import { StartupError } from '../startup-error.ts';
import { MAX_ID } from './backup-file.ts';
import { readAccess, type TakenAway, takeAwayAgain } from './restore-access.ts';

/** These do not simply become what they were. The first two tell of the file and of those who run on it. */
const APART = ['_prisma_migrations', 'Replica', 'ProbeLease', 'Counter', 'ApiKey', 'AuditRecord'];

const REGISTRY = `(SELECT "value" FROM main."Counter" WHERE "name" = 'registry')`;
const STATUS = `(SELECT "value" FROM main."Counter" WHERE "name" = 'status')`;

type Run = (sql: string) => Promise<number>;

/**
 * Puts the content of another database of the same models in the place of this one's, in one transaction that other
 * processes see whole. What only ever grows goes on from here, so that nothing kept or connected anywhere passes for
 * fresh: counters, revisions and ids. Keys that were revoked or disabled since stay so, declared ones stay as they are,
 * and no audit record is lost. `finish` runs inside the transaction, and is told what the backup would have given back.
 */
export async function restoreInto<T>(
  database: Database,
  file: string,
  finish: (tx: Transaction, takenAway: TakenAway) => Promise<T>,
): Promise<T> {
  const { prisma } = database;
  await prisma.$executeRaw`ATTACH DATABASE ${file} AS "backup"`;
  try {
    await refuseStrangeContent(database);
    return await database.write(COUNTERS, async (tx) => {
      const run: Run = (sql) => tx.$executeRawUnsafe(sql);
      await run('PRAGMA defer_foreign_keys = ON');
      await raiseCounters(run);
      const access = await readAccess(tx);
      // The people go for a moment; their keys must not go with them.
      await run('UPDATE main."ApiKey" SET "ownerId" = NULL');
      await restoreRows(tx, run);
      await markChanged(run);
      await restoreApiKeys(tx, run);
      const takenAway = await takeAwayAgain(tx, access);
      await addAuditRecords(tx, run);
      await raiseIds(run);
      return finish(tx, takenAway);
    });
  } finally {
    await prisma.$executeRaw`DETACH DATABASE "backup"`;
  }
}

/** Both databases have this version's models: whatever else the backup has is none of ours. */
async function refuseStrangeContent({ prisma }: Database): Promise<void> {
  const objects = await prisma.$queryRaw<unknown[]>`
    SELECT "type", "name", "tbl_name" FROM "backup".sqlite_master WHERE "name" NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    EXCEPT SELECT "type", "name", "tbl_name" FROM main.sqlite_master`;
  if (objects.length > 0) throw new StartupError('The backup has tables that are none of Kitestring: name another.');
  for (const table of NUMBERED) {
    const beyond = `SELECT 1 FROM "backup"."${table}" WHERE "id" < 1 OR "id" >= ${MAX_ID} LIMIT 1`;
    if ((await prisma.$queryRawUnsafe<unknown[]>(beyond)).length > 0)
      throw new StartupError('The backup has ids that Kitestring never gives: name another.');
  }
}

async function raiseCounters(run: Run): Promise<void> {
  await run(`UPDATE main."Counter" SET "value" = ${AHEAD} + max("value",
    coalesce((SELECT kept."value" FROM "backup"."Counter" AS kept WHERE kept."name" = "Counter"."name"), 0))`);
}

async function restoreRows(tx: Transaction, run: Run): Promise<void> {
  const found = await tx.$queryRaw<{ name: string }[]>`
    SELECT "name" FROM main.sqlite_master WHERE "type" = 'table' AND "name" NOT LIKE 'sqlite\\_%' ESCAPE '\\'`;
  const tables = found.map(({ name }) => name).filter((name) => !APART.includes(name));
  // All of them before the first row is written: a delete cascades to the tables that refer to it.
  for (const table of tables) await run(`DELETE FROM main."${table}"`);
  for (const table of tables) {
    const columns = (await columnsOf(tx, table)).join();
    await run(`INSERT INTO main."${table}" (${columns}) SELECT ${columns} FROM "backup"."${table}"`);
  }
}

/** A key that is in the backup and whose id was given out here, but which no longer stands, was revoked since. */
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

/** No revision has ever been above the registry's counter, since each change raises both by one. */
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

/** In quotes. By name, since another history of migrations may have left them in another order. */
async function columnsOf(tx: Transaction, table: string): Promise<string[]> {
  const found = await tx.$queryRaw<{ name: string }[]>`SELECT "name" FROM pragma_table_info(${table}, 'main')`;
  return found.map(({ name }) => `"${name}"`);
}
