import type { DatabaseSync } from 'node:sqlite';
import { StartupError } from '../startup-error.ts';
import { checkIntegrity, openSqlite } from './file.ts';

/**
 * The highest id accepted from a backup: half of the range of GraphQL's 32-bit Int, so that as many ids remain. The
 * same bound applies to the `registry` counter, because revisions continue from it.
 */
export const MAX_ID = 2 ** 30;
const MAX_COUNTER = 2 ** 50;

const HAS_KITESTRING_TABLES = `SELECT count(*) = 3 AS found FROM sqlite_master
  WHERE "type" = 'table' AND "name" IN ('_prisma_migrations', 'Cluster', 'Counter')`;
// Finds views, triggers and virtual tables. They have no root page, unlike tables and indexes.
const HAS_FOREIGN_OBJECTS = `SELECT count(*) > 0 AS found FROM sqlite_master
  WHERE "type" NOT IN ('table', 'index') OR NOT coalesce("rootpage" > 0, FALSE)`;
const HAS_VALUES_OUT_OF_RANGE = `SELECT count(*) > 0 AS found FROM (
    SELECT "value", CASE "name" WHEN 'registry' THEN ${MAX_ID} ELSE ${MAX_COUNTER} END AS "most" FROM "Counter"
    UNION ALL SELECT "seq", ${MAX_ID} FROM sqlite_sequence)
  WHERE typeof("value") <> 'integer' OR "value" < 0 OR "value" > "most"`;

/**
 * Throws a StartupError unless `copy` is a database of Kitestring, of any version, without executable content such as
 * triggers and without values out of range. The message names `file`, the original of the copy.
 */
export function checkBackup(copy: string, file: string): void {
  const problem = findProblem(copy);
  if (problem) throw new StartupError(`${file} ${problem}: choose another backup.`);
}

function findProblem(copy: string): string | undefined {
  try {
    checkIntegrity(copy);
    const database = openSqlite(copy);
    try {
      if (!isTrue(database, HAS_KITESTRING_TABLES)) return 'is not a backup of Kitestring, or it is damaged';
      if (isTrue(database, HAS_FOREIGN_OBJECTS))
        return 'contains views, triggers or tables that do not belong to Kitestring';
      if (isTrue(database, HAS_VALUES_OUT_OF_RANGE)) return 'contains counters that are out of range';
      return undefined;
    } finally {
      database.close();
    }
  } catch {
    return 'is not a backup of Kitestring, or it is damaged';
  }
}

function isTrue(database: DatabaseSync, sql: string): boolean {
  return database.prepare(sql).get()?.found === 1;
}
