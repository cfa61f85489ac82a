import { COUNTER_JUMP, countersOf, SEQUENTIAL_ID_TABLES, type Transaction } from '../database.ts';
import { StartupError } from '../startup-error.ts';
import { NOW } from './leases.ts';

/**
 * Call this after the database was reset to an older state. Advances the counters, revisions, ids and fencing numbers
 * past every value issued before the reset. Deletes all sessions and releases all slots. Throws a StartupError while a
 * replica runs.
 */
export async function advancePastLostHistory(tx: Transaction): Promise<void> {
  const running = await tx.$queryRawUnsafe<unknown[]>(`SELECT 1 FROM "Replica" WHERE "expiresAt" > ${NOW}`);
  if (running.length > 0)
    throw new StartupError(
      'A server uses the database: stop every server. If a server was killed, wait 10 seconds, then run the command again.',
    );
  const run = (sql: string) => tx.$executeRawUnsafe(sql);
  await run(`UPDATE "Counter" SET "value" = "value" + ${COUNTER_JUMP}`);
  const { registry, status } = countersOf(await tx.counter.findMany());
  // A revision never exceeds the `registry` counter, because each change increments both by one.
  await run(`UPDATE "Cluster" SET "revision" = ${registry}, "credentialsVersion" = ${registry},
    "registryChange" = ${registry}, "statusChange" = ${status}`);
  for (const table of SEQUENTIAL_ID_TABLES) {
    const sequence = `pg_get_serial_sequence('"${table}"', 'id')`;
    await tx.$queryRawUnsafe(`SELECT setval(${sequence}, nextval(${sequence}) + ${COUNTER_JUMP})::text`);
  }
  await run(`UPDATE "ProbeLease" SET "holder" = NULL, "fence" = "fence" + ${COUNTER_JUMP}`);
  await tx.replica.deleteMany();
  await tx.session.deleteMany();
}
