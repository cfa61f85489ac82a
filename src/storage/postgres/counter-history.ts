import { type Client, DatabaseError } from 'pg';
import { COUNTER_JUMP, COUNTERS, type Counters, countersOf } from '../database.ts';
import { READ_ONLY } from './errors.ts';

/** Whether a counter is lower than this process has seen it: a backup was restored, or a failover lost commits. */
export function hasRegressed(now: Counters, seen: Counters): boolean {
  return COUNTERS.some((name) => now[name] < seen[name]);
}

/**
 * Advances the counters past every value that this process has seen. A database that lost commits would otherwise reach
 * the same values again with different rows, and data cached under those values, such as a revoked API key or an
 * outdated response, would seem current. If a counter has regressed, the counters jump far enough that every subscriber
 * lists again. Returns false if the database is read-only.
 */
export async function advancePastSeen(client: Client, seen: Counters): Promise<boolean> {
  try {
    await client.query('BEGIN');
    const now = countersOf(
      (await client.query('SELECT "name", "value" FROM "Counter" ORDER BY "name" FOR UPDATE')).rows,
    );
    const step = hasRegressed(now, seen) ? COUNTER_JUMP : 1;
    for (const name of COUNTERS) {
      const value = Math.max(now[name], seen[name]) + step;
      await client.query('UPDATE "Counter" SET "value" = $1 WHERE "name" = $2', [value, name]);
    }
    await client.query('COMMIT');
    return true;
  } catch (error) {
    // Without ROLLBACK the connection would reject every later statement.
    if (error instanceof DatabaseError) await client.query('ROLLBACK');
    if (error instanceof DatabaseError && error.code === READ_ONLY) return false;
    throw error;
  }
}
