import { statSync } from 'node:fs';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { DriverAdapterError } from '@prisma/driver-adapter-utils';
import { Prisma, PrismaClient } from './generated/sqlite/client.ts';
import { SqliteConnection } from './sqlite.ts';
import { toDriverError } from './sqlite-errors.ts';
import { backupFile, createFile, openSqlite } from './sqlite-file.ts';
import { migrate } from './sqlite-migrations.ts';
import { StartupError } from './startup-error.ts';

export type CounterName = 'registry' | 'status' | 'access';
export type Counters = Readonly<Record<CounterName, number>>;
/** NULL in a column of JSON, which else would hold JSON's own null. */
export const NO_JSON = Prisma.DbNull;
export type Transaction = Prisma.TransactionClient;

/** How long a change may wait for those before it, and how long it may take itself. */
const TRANSACTION = { maxWait: 10_000, timeout: 15_000 };
/** A database that could write is not asked again for this long: anybody may ask `/readyz`. */
const CHECK_MS = 1_000;
/** SQLITE_READONLY_DBMOVED. */
const MOVED = 1032;

/** Opens the database and brings it to this version's models. */
export async function openDatabase({ file }: { file: string }): Promise<Database> {
  createFile(file);
  let watch: DatabaseSync | undefined;
  try {
    watch = openSqlite(file);
    await migrate(file, watch);
    return new Database({ file, watch, connection: new SqliteConnection(file) });
  } catch (error) {
    watch?.close();
    throw error instanceof StartupError ? error : asStartupError(file, error);
  }
}

/** The open database: Prisma's client, and what Prisma does not have. */
export class Database {
  readonly prisma: PrismaClient;
  readonly #file: string;
  readonly #inode: number;
  /** Sees every commit, ours too, and never what is not committed: it is not the connection that writes. */
  readonly #watch: DatabaseSync;
  readonly #version: StatementSync;
  readonly #read: StatementSync;
  #known: { version: unknown; counters: Counters } | undefined;
  #inThisTurn: Counters | undefined;
  #checked = Number.NEGATIVE_INFINITY;
  #checking: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor({ file, watch, connection }: { file: string; watch: DatabaseSync; connection: SqliteConnection }) {
    this.#file = file;
    this.#inode = statSync(file).ino;
    this.#watch = watch;
    this.#version = watch.prepare('PRAGMA data_version');
    this.#read = watch.prepare('SELECT "name", "value" FROM "Counter"');
    this.prisma = new PrismaClient({
      adapter: connection.factory,
      transactionOptions: TRANSACTION,
      errorFormat: 'minimal',
    });
  }

  /**
   * Runs a change in one transaction, which raises its counters first: that is the lock that orders writers. Use `tx`
   * alone inside: a query of the client would wait for the transaction, and the transaction for it.
   */
  write<T>(
    counters: CounterName | readonly CounterName[],
    change: (tx: Transaction, raised: Partial<Counters>) => Promise<T>,
  ): Promise<T> {
    // One order for all: two changes never wait for each other.
    const names = [counters].flat().sort();
    const written = this.prisma.$transaction(async (tx) => {
      const raised: Partial<Record<CounterName, number>> = {};
      for (const name of names) {
        const { value } = await tx.counter.update({ where: { name }, data: { value: { increment: 1 } } });
        raised[name] = value;
      }
      const result = await change(tx, raised);
      this.#refuseElsewhere();
      return result;
    });
    return written.finally(() => {
      this.#inThisTurn = undefined;
    });
  }

  /**
   * The counters as they are now: no commit that was acknowledged before the call, by any process, is missing. Requests
   * that arrive in the same turn of the event loop share one look (3 µs, a third of what a kept answer costs).
   */
  counters(): Counters {
    this.#inThisTurn ??= this.#look();
    return this.#inThisTurn;
  }

  #look(): Counters {
    setImmediate(() => {
      this.#inThisTurn = undefined;
    });
    try {
      // Before the values: a commit between the two is then seen as news once more, never lost.
      const version = this.#version.get()?.data_version;
      if (this.#known?.version !== version) this.#known = { version, counters: this.#readCounters() };
      return (this.#known as { counters: Counters }).counters;
    } catch (error) {
      throw toDriverError(error);
    }
  }

  /** Throws unless the database can be written to, now. */
  async check(): Promise<void> {
    if (performance.now() - this.#checked < CHECK_MS) return;
    this.#checking ??= this.#writeNothing().finally(() => {
      this.#checking = undefined;
    });
    await this.#checking;
  }

  /** An update that changes no value would not reach the disk; this writes a page, and changes nothing. */
  async #writeNothing(): Promise<void> {
    this.#refuseElsewhere();
    await this.prisma.$executeRaw`PRAGMA user_version = 0`;
    this.#checked = performance.now();
  }

  /** Writes a copy as of one moment, while others write; it appears whole or not at all. */
  backup(file: string): Promise<void> {
    return backupFile(this.#file, file);
  }

  close(): Promise<void> {
    this.#closing ??= this.prisma.$disconnect().finally(() => this.#watch.close());
    return this.#closing;
  }

  /** SQLite would write on into a file that was removed, and what it acknowledges would be lost. */
  #refuseElsewhere(): void {
    if (inodeOf(this.#file) === this.#inode) return;
    const message = 'the database file was moved or replaced: put it back, or restart';
    throw new DriverAdapterError({ kind: 'sqlite', extendedCode: MOVED, message });
  }

  #readCounters(): Counters {
    const counters = { registry: 0, status: 0, access: 0 };
    for (const { name, value } of this.#read.all()) counters[name as CounterName] = Number(value);
    return counters;
  }
}

function inodeOf(file: string): number | undefined {
  try {
    return statSync(file).ino;
  } catch {
    return undefined;
  }
}

function asStartupError(file: string, error: unknown): Error {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0;
  const options = { cause: error };
  if (code === 26)
    return new StartupError(`${file} is not a database: move it away, then start anew or restore a backup.`, options);
  if (code === 11)
    return new StartupError(`The database ${file} is damaged: move it away, then restore a backup.`, options);
  const reason = error instanceof Error ? error.message : String(error);
  return new StartupError(`The database ${file} cannot be opened (${reason}).`, options);
}
