import { statSync } from 'node:fs';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { DriverAdapterError } from '@prisma/driver-adapter-utils';
import {
  type CounterName,
  type Counters,
  countersOf,
  type Database,
  incrementCounters,
  TRANSACTION,
  type Transaction,
} from '../database.ts';
import { PrismaClient } from '../generated/sqlite/client.ts';
import { ReadShares } from '../read-shares.ts';
import { reuseRecentSuccess } from '../reuse-recent-success.ts';
import { StartupError } from '../startup-error.ts';
import { SqliteConnection } from './connection.ts';
import { toDriverError } from './errors.ts';
import { createFile, openSqlite } from './file.ts';
import { describeLoss, gatherEvidence } from './loss.ts';
import { appliedMigrations, migrate } from './migrations.ts';
import { keepWitness, readProgress } from './witness.ts';

/** How late a change may be heard of: a look costs 3 µs, whoever wrote. */
const LOOK_MS = 50;
/** SQLITE_READONLY_DBMOVED. */
const MOVED = 1032;

/** Opens the file and brings it to this version's models. A server keeps a witness of what it has committed. */
export async function openSqliteDatabase(file: string, { isServer }: { isServer: boolean }): Promise<SqliteDatabase> {
  const evidence = gatherEvidence(file);
  createFile(file);
  let watch: DatabaseSync | undefined;
  try {
    watch = openSqlite(file);
    const isNew = appliedMigrations(watch).length === 0;
    await migrate(file, watch);
    const warnings = describeLoss(file, evidence, { isNew, progress: readProgress(watch) });
    const database = new SqliteDatabase({ file, watch, warnings, connection: new SqliteConnection(file) });
    if (isServer) await database.keepWitness();
    return database;
  } catch (error) {
    watch?.close();
    throw error instanceof StartupError ? error : asStartupError(file, error);
  }
}

/** The database in a file of its own. */
export class SqliteDatabase implements Database {
  readonly kind = 'sqlite';
  readonly leases = undefined;
  // Statements run one after another: those of callers take turns.
  readonly reads = new ReadShares(1);
  readonly prisma: PrismaClient;
  readonly check: () => Promise<void>;
  readonly warnings: readonly string[];
  readonly #file: string;
  readonly #inode: number;
  /** Sees every commit, ours too, and never what is not committed: it is not the connection that writes. */
  readonly #watch: DatabaseSync;
  readonly #version: StatementSync;
  readonly #read: StatementSync;
  #known: { version: unknown; counters: Counters } | undefined;
  #inThisTurn: Counters | undefined;
  #closing: Promise<void> | undefined;
  #endWitness = async () => {};

  constructor(options: {
    file: string;
    watch: DatabaseSync;
    warnings: readonly string[];
    connection: SqliteConnection;
  }) {
    const { file, watch, warnings, connection } = options;
    this.#file = file;
    this.warnings = warnings;
    this.#inode = statSync(file).ino;
    this.#watch = watch;
    this.#version = watch.prepare('PRAGMA data_version');
    this.#read = watch.prepare('SELECT "name", "value" FROM "Counter"');
    this.check = reuseRecentSuccess(() => this.#writeNothing());
    this.prisma = new PrismaClient({
      adapter: connection.factory,
      transactionOptions: TRANSACTION,
      errorFormat: 'minimal',
    });
  }

  write<T>(
    counters: CounterName | readonly CounterName[],
    change: (tx: Transaction, raised: Partial<Counters>) => Promise<T>,
  ): Promise<T> {
    const written = this.prisma.$transaction(async (tx) => {
      const result = await change(tx, await incrementCounters(tx, counters));
      this.#refuseElsewhere();
      return result;
    });
    return written.finally(() => {
      this.#inThisTurn = undefined;
    });
  }

  /** Requests that arrive in the same turn of the event loop share one look (3 µs, a third of what a kept answer costs). */
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
      if (this.#known?.version !== version) this.#known = { version, counters: countersOf(this.#read.all()) };
      return (this.#known as { counters: Counters }).counters;
    } catch (error) {
      throw toDriverError(error);
    }
  }

  watch(look: () => void): () => void {
    const timer = setInterval(look, LOOK_MS).unref();
    return () => clearInterval(timer);
  }

  /** An update that changes no value would not reach the disk; this writes a page, and changes nothing. */
  async #writeNothing(): Promise<void> {
    this.#refuseElsewhere();
    await this.prisma.$executeRaw`PRAGMA user_version = 0`;
  }

  /** Lets a later start notice when what was committed by then is gone, until the database is closed. */
  async keepWitness(): Promise<void> {
    // Not of a file that was put in the place of this one.
    const progress = () => (inodeOf(this.#file) === this.#inode ? readProgress(this.#watch) : undefined);
    this.#endWitness = await keepWitness(this.#file, progress);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.prisma.$disconnect();
    } finally {
      this.#watch.close();
      await this.#endWitness();
    }
  }

  /** SQLite would write on into a file that was removed, and what it acknowledges would be lost. */
  #refuseElsewhere(): void {
    if (inodeOf(this.#file) === this.#inode) return;
    const message = 'the database file was moved or replaced: put it back, or restart';
    throw new DriverAdapterError({ kind: 'sqlite', extendedCode: MOVED, message });
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
