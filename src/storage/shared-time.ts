import type { Database, Transaction } from './database.ts';

/**
 * The current time by the clock that all processes on the database share: PostgreSQL's, or for SQLite this machine's.
 */
export async function sharedTime({ kind }: Pick<Database, 'kind'>, tx: Transaction): Promise<Date> {
  if (kind === 'sqlite') return new Date();
  const [row] = await tx.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS "now"`;
  return (row as { now: Date }).now;
}
