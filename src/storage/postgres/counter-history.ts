import { type Client, DatabaseError } from 'pg';
import { AHEAD, COUNTERS, type Counters, countersOf } from '../database.ts';
import { READ_ONLY } from './errors.ts';

/** Whether the database has gone back behind what was seen of it: a backup was put back, or a failover lost commits. */
export function hasRegressed(now: Counters, seen: Counters): boolean {
  return COUNTERS.some((name) => now[name] < seen[name]);
}

/**
 * Lets the counters go on beyond what was seen of them. A database that lost commits comes by the same numbers again
 * with other rows, and what is kept here by number would pass for new: a key that was revoked, an answer that was
 * changed. Where the loss shows they go so far that whoever follows them reads all of it again. False while the database
 * is read-only.
 */
export async function advancePastSeen(client: Client, seen: Counters): Promise<boolean> {
  try {
    await client.query('BEGIN');
    const now = countersOf(
      (await client.query('SELECT "name", "value" FROM "Counter" ORDER BY "name" FOR UPDATE')).rows,
    );
    const step = hasRegressed(now, seen) ? AHEAD : 1;
    for (const name of COUNTERS) {
      const value = Math.max(now[name], seen[name]) + step;
      await client.query('UPDATE "Counter" SET "value" = $1 WHERE "name" = $2', [value, name]);
    }
    await client.query('COMMIT');
    return true;
  } catch (error) {
    // Whatever it is: else the connection would refuse all that is asked of it later.
    if (error instanceof DatabaseError) await client.query('ROLLBACK');
    if (error instanceof DatabaseError && error.code === READ_ONLY) return false;
    throw error;
  }
}
