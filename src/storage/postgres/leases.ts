import type { Pool } from 'pg';
import type { Leases, LeaseView } from '../leases.ts';
import type { Watch } from './watch.ts';

/** How long a lease and a replica's presence last without a heartbeat. */
const LEASE = `interval '10 seconds'`;
/** The database's clock, as the columns keep it. */
const NOW = `(clock_timestamp() AT TIME ZONE 'UTC')`;

const HEARTBEAT = `
WITH present AS (
  INSERT INTO "Replica" ("id", "expiresAt") VALUES ($1, ${NOW} + ${LEASE})
  ON CONFLICT ("id") DO UPDATE SET "expiresAt" = excluded."expiresAt"
), renewed AS (
  UPDATE "ProbeLease" AS lease SET "expiresAt" = ${NOW} + ${LEASE}, "loadMs" = given."load"
  FROM unnest($2::int[], $3::float8[]) AS given("slot", "load")
  WHERE lease."slot" = given."slot" AND lease."holder" = $1 AND lease."expiresAt" > ${NOW}
  RETURNING lease."slot"
)
-- Cast, so that a migration of a column does not end the prepared statement.
SELECT lease."slot"::int, lease."fence"::int, lease."loadMs"::float8,
  CASE WHEN lease."expiresAt" > ${NOW} THEN lease."holder" END AS holder,
  EXISTS (SELECT 1 FROM renewed WHERE renewed."slot" = lease."slot") AS renewed,
  (SELECT json_agg("id") FROM "Replica" WHERE "expiresAt" > ${NOW}) AS replicas
FROM "ProbeLease" AS lease ORDER BY lease."slot"`;

/** Behind the results that are being stored under the numbers of before: none of them comes after what its taker reads. */
const TAKE = `
WITH stored AS MATERIALIZED (SELECT 1 FROM "Counter" WHERE "name" = 'status' FOR SHARE)
UPDATE "ProbeLease" SET "holder" = $1, "fence" = "fence" + 1, "expiresAt" = ${NOW} + ${LEASE}
WHERE EXISTS (SELECT 1 FROM stored) AND "slot" = ANY($2::int[]) AND ("holder" IS NULL OR "expiresAt" IS NULL OR "expiresAt" <= ${NOW})
RETURNING "slot", "fence"`;

const GIVE = `UPDATE "ProbeLease" SET "holder" = NULL WHERE "holder" = $1 AND "slot" = ANY($2::int[])`;

/** A replica that is gone leaves the time of its last round behind for a while: its clusters show it. */
const LEAVE = `
WITH left_slots AS (UPDATE "ProbeLease" SET "holder" = NULL WHERE "holder" = $1),
  forgotten AS (DELETE FROM "Replica" WHERE "expiresAt" < ${NOW} - interval '1 day')
UPDATE "Replica" SET "expiresAt" = ${NOW} WHERE "id" = $1`;

/** The leases in PostgreSQL. */
export function leasesOver(pool: Pool, watch: Watch): Leases {
  return {
    async heartbeat(replica, loads): Promise<LeaseView> {
      const values = [replica, [...loads.keys()], [...loads.values()]];
      const { rows } = await pool.query({ name: 'heartbeat', text: HEARTBEAT, values });
      const leases = rows.map(({ slot, holder, fence, loadMs, renewed }) => ({
        ...{ slot, fence, loadMs: loads.get(slot) ?? loadMs },
        // Our own stands only where it was renewed just now.
        holder: holder === replica && !renewed ? undefined : (holder ?? undefined),
      }));
      const replicas: string[] = rows[0]?.replicas ?? [];
      return { leases, replicas: replicas.includes(replica) ? replicas : [...replicas, replica] };
    },
    async take(replica, slots) {
      const { rows } = await pool.query(TAKE, [replica, slots]);
      return new Map(rows.map(({ slot, fence }) => [slot, fence]));
    },
    async give(replica, slots) {
      await pool.query(GIVE, [replica, slots]);
      await watch.tellGiven(pool);
    },
    async leave(replica) {
      await pool.query(LEAVE, [replica]);
      await watch.tellGiven(pool);
    },
    onGiven: (listener) => watch.onGiven(listener),
  };
}
