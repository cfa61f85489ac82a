import type { Pool } from 'pg';
import { COOL_DOWN_MS, COUNTED_MS, LEASE_MS, type Leases, type LeaseView, PROVEN_MS } from '../leases.ts';
import type { Watch } from './watch.ts';

/** A replica's presence lasts as long. */
const LEASE = `interval '${LEASE_MS} milliseconds'`;
const COUNTED = `interval '${COUNTED_MS} milliseconds'`;
const PROVEN = `interval '${PROVEN_MS} milliseconds'`;
const REST = `interval '${COOL_DOWN_MS} milliseconds'`;
/** The database's clock, as the columns keep it. */
export const NOW = `(clock_timestamp() AT TIME ZONE 'UTC')`;

const HEARTBEAT = `
WITH present AS (
  INSERT INTO "Replica" ("id", "since", "expiresAt") VALUES ($1, ${NOW}, ${NOW} + ${LEASE})
  ON CONFLICT ("id") DO UPDATE SET "since" = least("Replica"."since", excluded."since"), "expiresAt" = excluded."expiresAt"
), capped AS (
  -- Whatever a clock that was set back has left there: none of them ends so late.
  UPDATE "ProbeLease" SET "expiresAt" = ${NOW} + ${LEASE} WHERE "expiresAt" > ${NOW} + 2 * ${LEASE} AND "holder" <> $1
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
  (SELECT json_agg("id") FROM (SELECT "id", "since", "expiresAt" - ${LEASE} AS "last" FROM "Replica") AS replica
    WHERE "last" BETWEEN ${NOW} - ${COUNTED} AND ${NOW} + ${LEASE} AND ("since" IS NULL OR "last" >= "since" + ${PROVEN})
  ) AS replicas
FROM "ProbeLease" AS lease ORDER BY lease."slot"`;

/** A replica that is gone leaves the time of its last round behind, as long as its clusters may show it. */
const FORGET = `
DELETE FROM "Replica" WHERE coalesce("expiresAt", "roundFinishedAt") < ${NOW} - interval '1 day'
AND NOT EXISTS (SELECT 1 FROM "ProbeLease" WHERE "holder" = "Replica"."id")`;

/**
 * Behind the results that are being stored under the numbers of before: none of them comes after what its taker reads.
 * Until the taker has tried all that it holds, its last round is no later than the last of those it takes from.
 * The taker rests until the one before the last has been gone for long enough. Where the last one was resting still, its rest
 * goes on and is not begun anew: so a slot that moves again and again is asked all the same.
 */
const TAKE = `
WITH stored AS MATERIALIZED (SELECT 1 FROM "Counter" WHERE "name" = 'status' FOR SHARE),
taken AS (
  UPDATE "ProbeLease" SET "holder" = $1, "fence" = "fence" + 1, "expiresAt" = ${NOW} + ${LEASE},
    -- No longer, whatever a clock that was set back has left there.
    "askFrom" = least(${NOW} + ${REST},
      greatest(${NOW}, CASE WHEN "askFrom" < "expiresAt" THEN "askedUntil" + ${REST} ELSE "askFrom" END)),
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

/** Whoever held a slot is named until another does: its last round tells how old a state is. */
const GIVE = `UPDATE "ProbeLease" SET "expiresAt" = ${NOW} WHERE "holder" = $1 AND "slot" = ANY($2::int[])`;

const LEAVE = `
WITH left_slots AS (UPDATE "ProbeLease" SET "expiresAt" = ${NOW} WHERE "holder" = $1 AND "expiresAt" > ${NOW})
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
      // By whoever comes after: one that is killed clears nothing away.
      await pool.query(FORGET);
      const { rows } = await pool.query(TAKE, [replica, slots]);
      return new Map(rows.map(({ slot, fence, coolDownMs }) => [slot, { fence, coolDownMs }]));
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
