import type { Database, Transaction } from './database.ts';

/**
 * Advances PostgreSQL's sequence past the highest API key id, because an insert with an explicit id does not advance
 * it. SQLite's AUTOINCREMENT needs no such step.
 */
export async function advanceApiKeySequence({ kind }: Pick<Database, 'kind'>, tx: Transaction): Promise<void> {
  if (kind === 'postgres')
    await tx.$queryRaw`SELECT setval("sequence", "highest")::int
      FROM (SELECT pg_get_serial_sequence('"ApiKey"', 'id')::regclass AS "sequence", max("id") AS "highest" FROM "ApiKey") AS "ids"
      WHERE "highest" > COALESCE(pg_sequence_last_value("sequence"), 0)`;
}
