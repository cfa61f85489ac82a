import { Prisma, type PrismaClient } from './generated/sqlite/client.ts';
import type { Leases } from './leases.ts';
import type { ReadShares } from './read-shares.ts';

export const COUNTERS = ['access', 'registry', 'status'] as const;
export type CounterName = (typeof COUNTERS)[number];
export type Counters = Readonly<Record<CounterName, number>>;
/** NULL in a column of JSON, which else would hold JSON's own null. */
export const NO_JSON = Prisma.DbNull;
export type Transaction = Prisma.TransactionClient;

/** Where the registry is kept: a file of SQLite, or the URL of a PostgreSQL database. */
export type DatabaseLocation = { readonly file: string } | { readonly url: string };

/** An open database: Prisma's client, and what Prisma does not have. */
export interface Database {
  readonly kind: 'sqlite' | 'postgres';
  readonly prisma: PrismaClient;
  /** What the files beside the database show to be missing in it; a sentence each. */
  readonly warnings: readonly string[];

  /**
   * Runs a change in one transaction, which raises its counters first: that is the lock that orders those who raise the
   * same one. In SQLite it orders all writers; in PostgreSQL another counter's may change a row between its read and its
   * write, which has to name what it relies on. Use `tx` alone inside: a query of the client would wait for the
   * transaction, and the transaction for it. A change that met another in a deadlock is run again: it must do nothing
   * beside its transaction. With no counter it raises none and tells nobody, and waits for every other writer all the same.
   * Rejects when the times of TRANSACTION are over.
   */
  write<T>(
    counters: CounterName | readonly CounterName[],
    change: (tx: Transaction, raised: Partial<Counters>) => Promise<T>,
  ): Promise<T>;

  /**
   * The counters as they are now: no commit that was acknowledged before the call, by any process, is missing. At once
   * where the database is in this process, since waiting costs as much as a kept answer.
   */
  counters(): Counters | Promise<Counters>;

  /** Calls `look` whenever something may have been committed, by any process; gives what ends that. */
  watch(look: () => void): () => void;

  /** Throws unless the database can be written to, now. */
  check(): Promise<void>;

  /** What limits the reads of one caller: a share of the connections, or turns with the reads of others. */
  readonly reads: ReadShares;

  /** What replicas share the probing by; none where one process has the database for itself. */
  readonly leases: Leases | undefined;

  close(): Promise<void>;
}

/** How long a change may wait for those before it, and how long it may take itself. */
export const TRANSACTION = { maxWait: 10_000, timeout: 15_000 };

/** Opens the database and brings it to this version's models. */
export async function openDatabase(place: DatabaseLocation, { isServer = false } = {}): Promise<Database> {
  // Each with its own library, which the other does not need.
  if ('url' in place) return (await import('./postgres/database.ts')).openPostgres(place.url);
  return (await import('./sqlite/database.ts')).openSqliteDatabase(place.file, { isServer });
}

/** Raises counters as the first statements of a transaction, in one order for all: two changes never wait for each other. */
export async function incrementCounters(tx: Transaction, counters: CounterName | readonly CounterName[]) {
  const raised: Partial<Record<CounterName, number>> = {};
  for (const name of [counters].flat().sort()) {
    const { value } = await tx.counter.update({ where: { name }, data: { value: { increment: 1 } } });
    raised[name] = value;
  }
  return raised as Partial<Counters>;
}

/**
 * So far ahead do counters go where a database is copied or restored: no number is met again which changes after the backup
 * were given, here or on a machine that is lost; and every cursor of a stream is too old, so that its reader lists again.
 */
export const AHEAD = 1_000_000;

/** The tables whose ids are given out one after another, and never again. */
export const NUMBERED = ['Cluster', 'User', 'ApiKey', 'AuditRecord'] as const;

/** The counters in their rows. */
export function countersOf(rows: readonly { readonly name?: unknown; readonly value?: unknown }[]): Counters {
  const counters = { registry: 0, status: 0, access: 0 };
  for (const { name, value } of rows) counters[name as CounterName] = Number(value);
  return counters;
}
