import { Prisma, type PrismaClient } from './generated/sqlite/client.ts';
import type { Leases } from './leases.ts';
import type { ReadShares } from './read-shares.ts';

export const COUNTERS = ['access', 'registry', 'status'] as const;
export type CounterName = (typeof COUNTERS)[number];
export type Counters = Readonly<Record<CounterName, number>>;
/** Stores SQL NULL in a JSON column. A plain `null` would store the JSON value null. */
export const NO_JSON = Prisma.DbNull;
export type Transaction = Prisma.TransactionClient;

/** Where the registry is stored: a SQLite file or the URL of a PostgreSQL database. */
export type DatabaseLocation =
  | { readonly file: string; readonly url?: undefined }
  | { readonly url: string; readonly file?: undefined };

/** Milliseconds for which a successful check is reused: anonymous callers may request `/readyz`. */
export const CHECK_REUSE_MS = 1_000;

/** An open database: the Prisma client and the operations that Prisma does not provide. */
export interface Database {
  readonly kind: 'sqlite' | 'postgres';
  readonly prisma: PrismaClient;
  /** Sentences about data that the database has lost, as the files beside it show. */
  readonly warnings: readonly string[];

  /**
   * Runs `change` in one transaction that first increments `counters`. The increment locks the counter rows, so changes
   * that increment the same counter run one after another. SQLite serialises all writers. In PostgreSQL, a change that
   * increments another counter may modify a row between this change's read and write: repeat the expected values in the
   * WHERE clause of the write.
   *
   * `change` must use only `tx`; a query through `prisma` deadlocks with the transaction. After a deadlock `change`
   * runs again, so it must have no side effects outside the transaction. With an empty list, no counter is incremented
   * and no notification is sent, but the change still waits for every other writer. Rejects when a TRANSACTION limit is
   * exceeded.
   */
  write<T>(
    counters: CounterName | readonly CounterName[],
    change: (tx: Transaction, incremented: Partial<Counters>) => Promise<T>,
  ): Promise<T>;

  /**
   * Reads the counters. The result includes every commit that any process acknowledged before the call. SQLite returns
   * it synchronously, because awaiting a promise would cost as much as serving a cached response.
   */
  counters(): Counters | Promise<Counters>;

  /**
   * Calls `onPossibleChange` whenever any process may have committed something. Returns a function that stops the
   * calls.
   */
  watch(onPossibleChange: () => void): () => void;

  /** Throws unless the database currently accepts writes. */
  check(): Promise<void>;

  /** Limits the concurrent reads of each caller, so that one caller cannot occupy the whole database. */
  readonly reads: ReadShares;

  /** The leases by which replicas share the probing; undefined for SQLite, which a single process uses. */
  readonly leases: Leases | undefined;

  /** Returns the current time by the clock that all processes on the database share. */
  currentTime(tx: Transaction): Promise<Date>;

  /**
   * Ensures that the database does not assign an existing id to the next API key. Call it before an insert that lets
   * the database assign the id: an earlier insert may have had an explicit id.
   */
  skipExistingApiKeyIds(tx: Transaction): Promise<void>;

  close(): Promise<void>;
}

/** Milliseconds that a change may wait for its transaction to start (`maxWait`) and may run (`timeout`). */
export const TRANSACTION = { maxWait: 10_000, timeout: 15_000 };

/**
 * Increments counters and returns their new values. Must run first in a transaction. The counters are incremented in
 * alphabetical order, so that two changes cannot deadlock on them.
 */
export async function incrementCounters(tx: Transaction, counters: CounterName | readonly CounterName[]) {
  const incremented: Partial<Record<CounterName, number>> = {};
  for (const name of [counters].flat().sort()) {
    const { value } = await tx.counter.update({ where: { name }, data: { value: { increment: 1 } } });
    incremented[name] = value;
  }
  return incremented as Partial<Counters>;
}

/**
 * How far the counters advance when a database is copied or restored. The jump skips every value that was issued after
 * the backup, here or on a lost machine. It also makes every stream cursor too old, so that subscribers list again.
 */
export const COUNTER_JUMP = 1_000_000;

/** The tables with ids that are assigned in sequence and never reused. */
export const SEQUENTIAL_ID_TABLES = ['Cluster', 'User', 'ApiKey', 'AuditRecord'] as const;

/** Converts rows of the `Counter` table to an object. */
export function countersOf(rows: readonly { readonly name?: unknown; readonly value?: unknown }[]): Counters {
  const counters = { registry: 0, status: 0, access: 0 };
  for (const { name, value } of rows) counters[name as CounterName] = Number(value);
  return counters;
}
