import type { Database, Transaction } from './database.ts';

/** Lets the next key's id be above every other, as SQLite has it: a sequence of PostgreSQL does not see an id that was given. */
export async function advanceApiKeySequence({ kind }: Pick<Database, 'kind'>, tx: Transaction): Promise<void> {
  if (kind === 'postgres')
    await tx.$queryRaw`SELECT setval("sequence", "highest")::int
      FROM (SELECT pg_get_serial_sequence('"ApiKey"', 'id')::regclass AS "sequence", max("id") AS "highest" FROM "ApiKey") AS "ids"
      WHERE "highest" > COALESCE(pg_sequence_last_value("sequence"), 0)`;
}
