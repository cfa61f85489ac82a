import type { Pool } from 'pg';
import { lazy } from '../../lazy.ts';
import {
  CHECK_REUSE_MS,
  type CounterName,
  type Counters,
  type Database,
  incrementCounters,
  TRANSACTION,
  type Transaction,
} from '../database.ts';
import { isConflict } from '../database-error.ts';
import { PrismaClient as PostgresClient } from '../generated/postgres/client.ts';
import type { PrismaClient } from '../generated/sqlite/client.ts';
import type { Leases } from '../leases.ts';
import { ReadShares } from '../read-shares.ts';
import { createAdapter } from './adapter.ts';
import { CounterConnection, channelOf } from './counter-connection.ts';
import { createLeases } from './leases.ts';
import { migrate, requireUnused } from './migrations.ts';
import { CONNECTIONS, openPool } from './pool.ts';
import { withStartupErrors } from './startup.ts';
import { type PostgresLocation, readPostgresUrl } from './url.ts';

/** How often a change is attempted in total. Changes can deadlock, because they lock counters and rows in any order. */
const ATTEMPTS = 4;

/** Opens a PostgreSQL database and applies pending migrations. */
export async function openPostgres(url: string): Promise<PostgresDatabase> {
  const location = readPostgresUrl(url);
  await withStartupErrors(location, () => migrate(location));
  return new PostgresDatabase(location);
}

/** Opens a PostgreSQL database in which no server has changed anything. Throws, without changes, if a server has. */
export async function openUnusedPostgres(url: string): Promise<PostgresDatabase> {
  const location = readPostgresUrl(url);
  await withStartupErrors(location, () => requireUnused(location));
  return openPostgres(url);
}

/** A PostgreSQL database, which several replicas can share. */
export class PostgresDatabase implements Database {
  readonly kind = 'postgres';
  readonly prisma: PrismaClient;
  readonly warnings = [];
  readonly leases: Leases;
  readonly reads = new ReadShares(CONNECTIONS / 2);
  readonly #pool: Pool;
  readonly #counterConnection: CounterConnection;
  readonly #channel: string;
  readonly #check = lazy(() => this.#testWrite(), { reuseMs: CHECK_REUSE_MS });
  #closing: Promise<void> | undefined;

  constructor(location: PostgresLocation) {
    this.#pool = openPool(location);
    this.#counterConnection = new CounterConnection(location);
    this.leases = createLeases(this.#pool, this.#counterConnection);
    this.#channel = channelOf(location);
    // The clients for PostgreSQL and SQLite are generated from the same models and do not differ in anything we use.
    this.prisma = new PostgresClient({
      adapter: createAdapter(this.#pool, location),
      transactionOptions: TRANSACTION,
      errorFormat: 'minimal',
    }) as unknown as PrismaClient;
  }

  async write<T>(
    counters: CounterName | readonly CounterName[],
    change: (tx: Transaction, incremented: Partial<Counters>) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#write(counters, change);
      } catch (error) {
        if (!isConflict(error) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  #write<T>(
    counters: CounterName | readonly CounterName[],
    change: (tx: Transaction, incremented: Partial<Counters>) => Promise<T>,
  ): Promise<T> {
    return this.prisma.$transaction(async (tx) => {
      // A change that increments no counter must still exclude every other writer.
      if (counters.length === 0) await tx.$queryRaw`SELECT 1 FROM "Counter" ORDER BY "name" FOR UPDATE`;
      const result = await change(tx, await incrementCounters(tx, counters));
      // PostgreSQL delivers the notification on commit, to this process as well.
      if (counters.length > 0) await tx.$queryRaw`SELECT pg_notify(${this.#channel}, '')::text`;
      return result;
    });
  }

  counters(): Promise<Counters> {
    return this.#counterConnection.counters();
  }

  watch(onPossibleChange: () => void): () => void {
    return this.#counterConnection.watch(onPossibleChange);
  }

  async check(): Promise<void> {
    await this.#check();
  }

  async #testWrite(): Promise<void> {
    // Every request reads the counters, on their separate connection.
    await this.counters();
    // PostgreSQL writes a new row version even if no value changes, so this update fails on a full disk or a standby.
    // It skips the row while a change has it locked; otherwise one replica that hangs during a change would make every
    // other replica unready.
    await this.prisma.$executeRaw`UPDATE "Counter" SET "value" = "value"
      WHERE "name" = (SELECT "name" FROM "Counter" WHERE "name" = 'status' FOR UPDATE SKIP LOCKED)`;
  }

  async currentTime(tx: Transaction): Promise<Date> {
    const [row] = await tx.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS "now"`;
    return (row as { now: Date }).now;
  }

  /** Advances the sequence, which an insert with an explicit id does not do. */
  async skipExistingApiKeyIds(tx: Transaction): Promise<void> {
    await tx.$queryRaw`SELECT setval("sequence", "highest")::int
      FROM (SELECT pg_get_serial_sequence('"ApiKey"', 'id')::regclass AS "sequence", max("id") AS "highest" FROM "ApiKey") AS "ids"
      WHERE "highest" > COALESCE(pg_sequence_last_value("sequence"), 0)`;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#counterConnection.close();
    await this.prisma.$disconnect();
    await this.#pool.end();
  }
}
