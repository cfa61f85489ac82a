import type { DatabaseSync } from 'node:sqlite';
import { StartupError } from '../startup-error.ts';
import { checkIntegrity, openSqlite } from './file.ts';

/** Ids below it leave as many again, in the 32 bits that GraphQL has for them. Revisions go on from `registry`. */
export const MAX_ID = 2 ** 30;
const MAX_COUNTER = 2 ** 50;

const WHOLE = `SELECT count(*) = 3 AS found FROM sqlite_master
  WHERE "type" = 'table' AND "name" IN ('_prisma_migrations', 'Cluster', 'Counter')`;
// Views, triggers and virtual tables have no pages of their own.
const STRANGE = `SELECT count(*) > 0 AS found FROM sqlite_master
  WHERE "type" NOT IN ('table', 'index') OR NOT coalesce("rootpage" > 0, FALSE)`;
const BEYOND = `SELECT count(*) > 0 AS found FROM (
    SELECT "value", CASE "name" WHEN 'registry' THEN ${MAX_ID} ELSE ${MAX_COUNTER} END AS "most" FROM "Counter"
    UNION ALL SELECT "seq", ${MAX_ID} FROM sqlite_sequence)
  WHERE typeof("value") <> 'integer' OR "value" < 0 OR "value" > "most"`;

/** Throws unless a file is a database of ours, as any version has made it: nothing in it runs, and nothing is out of range. */
export function checkBackup(copy: string, file: string): void {
  const refusal = refusalOf(copy);
  if (refusal) throw new StartupError(`${file} ${refusal}: name another.`);
}

function refusalOf(copy: string): string | undefined {
  try {
    checkIntegrity(copy);
    const database = openSqlite(copy);
    try {
      if (!finds(database, WHOLE)) return 'is not a backup of Kitestring, or it is damaged';
      if (finds(database, STRANGE)) return 'has views, triggers or tables that are none of Kitestring';
      if (finds(database, BEYOND)) return 'has counters that Kitestring never reaches';
      return undefined;
    } finally {
      database.close();
    }
  } catch {
    return 'is not a backup of Kitestring, or it is damaged';
  }
}

function finds(database: DatabaseSync, sql: string): boolean {
  return database.prepare(sql).get()?.found === 1;
}
