import type { Pool } from 'pg';
import { COOL_DOWN_MS, COUNTED_MS, LEASE_MS, type Leases, type LeaseView, PROVEN_MS } from '../leases.ts';
import type { CounterConnection } from './counter-connection.ts';

/** The lifetime of a lease, and of the row that marks a replica as present. */
const LEASE = `interval '${LEASE_MS} milliseconds'`;
const COUNTED = `interval '${COUNTED_MS} milliseconds'`;
const PROVEN = `interval '${PROVEN_MS} milliseconds'`;
const COOL_DOWN = `interval '${COOL_DOWN_MS} milliseconds'`;
/** The database's clock in the format of the columns: UTC without a time zone. */
export const NOW = `(clock_timestamp() AT TIME ZONE 'UTC')`;

const HEARTBEAT = `
WITH present AS (
  INSERT INTO "Replica" ("id", "since", "expiresAt") VALUES ($1, ${NOW}, ${NOW} + ${LEASE})
  ON CONFLICT ("id") DO UPDATE SET "since" = least("Replica"."since", excluded."since"), "expiresAt" = excluded."expiresAt"
), capped AS (
  -- Only a clock that was set back leaves expiry times this far in the future: shorten them.
  UPDATE "ProbeLease" SET "expiresAt" = ${NOW} + ${LEASE} WHERE "expiresAt" > ${NOW} + 2 * ${LEASE} AND "holder" <> $1
), renewed AS (
  UPDATE "ProbeLease" AS lease SET "expiresAt" = ${NOW} + ${LEASE}, "loadMs" = reported."load"
  FROM unnest($2::int[], $3::float8[]) AS reported("slot", "load")
  WHERE lease."slot" = reported."slot" AND lease."holder" = $1 AND lease."expiresAt" > ${NOW}
  RETURNING lease."slot"
)
-- The casts keep the prepared statement valid when a migration changes the type of a column.
SELECT lease."slot"::int, lease."fence"::int, lease."loadMs"::float8,
  CASE WHEN lease."expiresAt" > ${NOW} THEN lease."holder" END AS holder,
  EXISTS (SELECT 1 FROM renewed WHERE renewed."slot" = lease."slot") AS renewed,
  (SELECT json_agg("id") FROM (SELECT "id", "since", "expiresAt" - ${LEASE} AS "last" FROM "Replica") AS replica
    WHERE "last" BETWEEN ${NOW} - ${COUNTED} AND ${NOW} + ${LEASE} AND ("since" IS NULL OR "last" >= "since" + ${PROVEN})
  ) AS replicas
FROM "ProbeLease" AS lease ORDER BY lease."slot"`;

/**
 * Deletes replicas that have been gone for a day and are no slot's last holder. Until then, the time of a replica's
 * last probing round shows how old the state of its clusters is.
 */
const DELETE_OLD_REPLICAS = `
DELETE FROM "Replica" WHERE coalesce("expiresAt", "roundFinishedAt") < ${NOW} - interval '1 day'
AND NOT EXISTS (SELECT 1 FROM "ProbeLease" WHERE "holder" = "Replica"."id")`;

/**
 * Claims slots.
 * - `stored` waits for transactions that store probe results under the old fencing numbers, so that no such result is
 *   stored after the new holder has read the state.
 * - `round` sets back the finish time of the new holder's last round to the earliest of the previous holders' rounds,
 *   because the new holder has not yet probed the claimed clusters itself.
 * - Cool-down: the new holder waits until COOL_DOWN_MS after the second-to-last holder stopped probing. If the last
 *   holder was still cooling down, its cool-down continues instead of starting over, so that a slot that changes hands
 *   often is still probed.
 */
const TAKE = `
WITH stored AS MATERIALIZED (SELECT 1 FROM "Counter" WHERE "name" = 'status' FOR SHARE),
taken AS (
  UPDATE "ProbeLease" SET "holder" = $1, "fence" = "fence" + 1, "expiresAt" = ${NOW} + ${LEASE},
    -- least() limits the cool-down, because a clock that was set back leaves times in the future.
    "askFrom" = least(${NOW} + ${COOL_DOWN},
      greatest(${NOW}, CASE WHEN "askFrom" < "expiresAt" THEN "askedUntil" + ${COOL_DOWN} ELSE "askFrom" END)),
    "askedUntil" = "expiresAt"
  WHERE EXISTS (SELECT 1 FROM stored) AND "slot" = ANY($2::int[]) AND ("holder" IS NULL OR "expiresAt" IS NULL OR "expiresAt" <= ${NOW})
  RETURNING "slot", "fence", "askFrom"
), round AS (
  UPDATE "Replica" SET "roundFinishedAt" = least("roundFinishedAt", (
    SELECT min(before."roundFinishedAt") FROM taken
    JOIN "ProbeLease" AS lease ON lease."slot" = taken."slot" JOIN "Replica" AS before ON before."id" = lease."holder"
  )) WHERE "id" = $1
)
SELECT "slot", "fence", greatest(extract(epoch FROM "askFrom" - ${NOW}) * 1000, 0)::float8 AS "coolDownMs" FROM taken`;

/** Releases slots. `holder` stays until the next claim, because its last round shows how old the clusters' state is. */
const RELEASE = `UPDATE "ProbeLease" SET "expiresAt" = ${NOW} WHERE "holder" = $1 AND "slot" = ANY($2::int[])`;

const LEAVE = `
WITH left_slots AS (UPDATE "ProbeLease" SET "expiresAt" = ${NOW} WHERE "holder" = $1 AND "expiresAt" > ${NOW})
UPDATE "Replica" SET "expiresAt" = ${NOW} WHERE "id" = $1`;

/** Creates the leases on PostgreSQL. */
export function createLeases(pool: Pool, counterConnection: CounterConnection): Leases {
  return {
    async heartbeat(replica, loads): Promise<LeaseView> {
      const values = [replica, [...loads.keys()], [...loads.values()]];
      const { rows } = await pool.query({ name: 'heartbeat', text: HEARTBEAT, values });
      const leases = rows.map(({ slot, holder, fence, loadMs, renewed }) => ({
        ...{ slot, fence, loadMs: loads.get(slot) ?? loadMs },
        // This replica holds only the leases that it has just renewed.
        holder: holder === replica && !renewed ? undefined : (holder ?? undefined),
      }));
      const replicas: string[] = rows[0]?.replicas ?? [];
      return { leases, replicas: replicas.includes(replica) ? replicas : [...replicas, replica] };
    },
    async take(replica, slots) {
      // A killed replica cannot delete its own row, so replicas that claim slots do it.
      await pool.query(DELETE_OLD_REPLICAS);
      const { rows } = await pool.query(TAKE, [replica, slots]);
      return new Map(rows.map(({ slot, fence, coolDownMs }) => [slot, { fence, coolDownMs }]));
    },
    async give(replica, slots) {
      await pool.query(RELEASE, [replica, slots]);
      await counterConnection.notifyReleased(pool);
    },
    async leave(replica) {
      await pool.query(LEAVE, [replica]);
      await counterConnection.notifyReleased(pool);
    },
    onGiven: (listener) => counterConnection.onReleased(listener),
  };
}
