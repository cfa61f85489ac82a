import { AHEAD, countersOf, NUMBERED, type Transaction } from '../database.ts';
import { StartupError } from '../startup-error.ts';
import { NOW } from './leases.ts';

/**
 * Lets what only ever grows go on beyond anything that was given out before the database went back to an older state:
 * counters, revisions, ids, fencing numbers. The sessions end, and nobody probes as yet. Refused while a replica runs.
 */
export async function advancePastLostHistory(tx: Transaction): Promise<void> {
  const running = await tx.$queryRawUnsafe<unknown[]>(`SELECT 1 FROM "Replica" WHERE "expiresAt" > ${NOW}`);
  if (running.length > 0)
    throw new StartupError('A server uses the database: stop every one, and wait 10 seconds for one that was killed.');
  const run = (sql: string) => tx.$executeRawUnsafe(sql);
  await run(`UPDATE "Counter" SET "value" = "value" + ${AHEAD}`);
  const { registry, status } = countersOf(await tx.counter.findMany());
  // No revision has ever been above the registry's counter, since each change raises both by one.
  await run(`UPDATE "Cluster" SET "revision" = ${registry}, "credentialsVersion" = ${registry},
    "registryChange" = ${registry}, "statusChange" = ${status}`);
  for (const table of NUMBERED) {
    const sequence = `pg_get_serial_sequence('"${table}"', 'id')`;
    await tx.$queryRawUnsafe(`SELECT setval(${sequence}, nextval(${sequence}) + ${AHEAD})::text`);
  }
  await run(`UPDATE "ProbeLease" SET "holder" = NULL, "fence" = "fence" + ${AHEAD}`);
  await tx.replica.deleteMany();
  await tx.session.deleteMany();
}
