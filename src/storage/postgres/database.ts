import type { Pool } from 'pg';
import {
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
import { reuseRecentSuccess } from '../reuse-recent-success.ts';
import { adapterOver } from './adapter.ts';
import { leasesOver } from './leases.ts';
import { migrate, refuseUsed } from './migrations.ts';
import { CONNECTIONS, openPool } from './pool.ts';
import { explainStart } from './startup.ts';
import { type PostgresLocation, readPostgresUrl } from './url.ts';
import { channelOf, Watch } from './watch.ts';

/** How often a change is tried that meets another in a deadlock: counters and rows may be locked in either order. */
const ATTEMPTS = 4;

/** Opens a database of PostgreSQL and brings it to this version's models. */
export async function openPostgres(url: string): Promise<PostgresDatabase> {
  const place = readPostgresUrl(url);
  await explainStart(place, () => migrate(place));
  return new PostgresDatabase(place);
}

/** Opens a database that no server has changed anything in; another is refused, and stays as it is. */
export async function openUnusedPostgres(url: string): Promise<PostgresDatabase> {
  const place = readPostgresUrl(url);
  await explainStart(place, () => refuseUsed(place));
  return openPostgres(url);
}

/** The database that replicas share. */
export class PostgresDatabase implements Database {
  readonly kind = 'postgres';
  readonly prisma: PrismaClient;
  readonly warnings = [];
  readonly check: () => Promise<void>;
  readonly leases: Leases;
  readonly reads = new ReadShares(CONNECTIONS / 2);
  readonly #pool: Pool;
  readonly #watch: Watch;
  readonly #channel: string;
  #closing: Promise<void> | undefined;

  constructor(place: PostgresLocation) {
    this.#pool = openPool(place);
    this.#watch = new Watch(place);
    this.leases = leasesOver(this.#pool, this.#watch);
    this.#channel = channelOf(place);
    // One schema, two generated clients that differ in nothing we use.
    this.prisma = new PostgresClient({
      adapter: adapterOver(this.#pool, place),
      transactionOptions: TRANSACTION,
      errorFormat: 'minimal',
    }) as unknown as PrismaClient;
    // PostgreSQL writes a row anew whatever its values are: on a full disk or a standby this fails. While a change holds
    // the row nothing is written: waiting for a replica that stands still in its middle would tell that of every other.
    // And every request reads the counters first, on a connection apart.
    this.check = reuseRecentSuccess(async () => {
      await this.counters();
      await this.prisma.$executeRaw`UPDATE "Counter" SET "value" = "value"
        WHERE "name" = (SELECT "name" FROM "Counter" WHERE "name" = 'status' FOR UPDATE SKIP LOCKED)`;
    });
  }

  async write<T>(
    counters: CounterName | readonly CounterName[],
    change: (tx: Transaction, raised: Partial<Counters>) => Promise<T>,
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
    change: (tx: Transaction, raised: Partial<Counters>) => Promise<T>,
  ): Promise<T> {
    return this.prisma.$transaction(async (tx) => {
      // Who raises none wants to be alone with the writers all the same.
      if (counters.length === 0) await tx.$queryRaw`SELECT 1 FROM "Counter" ORDER BY "name" FOR UPDATE`;
      const result = await change(tx, await incrementCounters(tx, counters));
      // Sent with the commit; its connections hear it too.
      if (counters.length > 0) await tx.$queryRaw`SELECT pg_notify(${this.#channel}, '')::text`;
      return result;
    });
  }

  counters(): Promise<Counters> {
    return this.#watch.counters();
  }

  watch(look: () => void): () => void {
    return this.#watch.watch(look);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#watch.close();
    await this.prisma.$disconnect();
    await this.#pool.end();
  }
}
