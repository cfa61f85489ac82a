import type { DatabaseSync, DatabaseSyncOptions, StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ColumnType,
  ColumnTypeEnum,
  DriverAdapterError,
  type IsolationLevel,
  type SqlDriverAdapter,
  type SqlDriverAdapterFactory,
  type SqlQuery,
  type SqlResultSet,
  type Transaction,
} from '@prisma/driver-adapter-utils';
import { LRUCache } from 'lru-cache';
import { yieldNow, yieldWhenBusy } from '../../event-loop.ts';
import { Mutex } from '../mutex.ts';
import { isBusy, toDriverError } from './errors.ts';
import { openSqlite, PATIENCE_MS } from './file.ts';
import { declaredType, type SqliteValue, toPrisma, toSqlite, typeOfValues } from './values.ts';

const MAX_CACHED_STATEMENTS = 200;
const RETRY_MS = 15;
/** SQLite's default limit of bound values (https://sqlite.org/limits.html). Prisma would assume 999. */
const MAX_VALUES = 32_766;

const about = { provider: 'sqlite', adapterName: 'node:sqlite' } as const;

type Prepared = { statement: StatementSync; names: string[]; types: (ColumnType | undefined)[] };

/** Prisma's driver adapter over one connection. Queries outside a transaction wait until the open transaction ends. */
export class SqliteConnection implements SqlDriverAdapter {
  readonly provider = about.provider;
  readonly adapterName = about.adapterName;
  readonly #database: DatabaseSync;
  readonly #statements = new LRUCache<string, Prepared>({ max: MAX_CACHED_STATEMENTS });
  /** Resolves when the open transaction ends; undefined if no transaction is open. */
  #openTransaction: Promise<void> | undefined;
  readonly #writers = new Mutex();

  constructor(file: string, options?: DatabaseSyncOptions) {
    this.#database = openSqlite(file, options);
  }

  /** The adapter factory for the single PrismaClient that uses this connection and closes it. */
  get factory(): SqlDriverAdapterFactory {
    return { ...about, connect: async () => this };
  }

  getConnectionInfo() {
    return { supportsRelationJoins: false, maxBindValues: MAX_VALUES };
  }

  queryRaw(query: SqlQuery): Promise<SqlResultSet> {
    return this.#alone(() => this.#query(query));
  }

  executeRaw(query: SqlQuery): Promise<number> {
    return this.#alone(() => this.#execute(query));
  }

  /** Runs a script atomically. Foreign keys are checked once at its end instead of after each statement. */
  executeScript(script: string): Promise<void> {
    return this.#alone(() => {
      this.#statements.clear();
      this.#database.exec('PRAGMA foreign_keys = OFF');
      try {
        this.#database.exec('BEGIN IMMEDIATE');
        this.#database.exec(script);
        const [broken] = this.#database.prepare('PRAGMA foreign_key_check').all();
        if (broken)
          throw new Error(`table ${broken.table} would contain references to missing rows of ${broken.parent}`);
        this.#database.exec('COMMIT');
      } finally {
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
        this.#database.exec('PRAGMA foreign_keys = ON');
      }
    });
  }

  async startTransaction(isolationLevel?: IsolationLevel): Promise<Transaction> {
    if (isolationLevel && isolationLevel !== 'SERIALIZABLE')
      throw new DriverAdapterError({ kind: 'InvalidIsolationLevel', level: isolationLevel });
    const release = await this.#writers.acquire();
    // A whole transaction can run within one turn of the event loop. Without this pause, a series of transactions would
    // block everything else.
    await yieldNow();
    const ended = Promise.withResolvers<void>();
    try {
      await this.#alone(() => {
        // IMMEDIATE takes the write lock now. A transaction that starts with a read could not write any more after
        // another process has written.
        this.#database.exec('BEGIN IMMEDIATE');
        this.#openTransaction = ended.promise;
      });
    } catch (error) {
      release();
      throw error;
    }
    // The order matters: waiting readers resume before the next writer.
    const end = () => {
      this.#openTransaction = undefined;
      ended.resolve();
      release();
    };
    return this.#transaction(end);
  }

  async dispose(): Promise<void> {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #transaction(end: () => void): Transaction {
    // A full disk or a failed write ends SQLite's transaction. Later statements must not run outside of it, where each
    // would be committed separately.
    const within = async <T>(run: () => T): Promise<T> => {
      if (!this.#database.isOpen || !this.#database.isTransaction)
        throw new DriverAdapterError({ kind: 'TransactionAlreadyClosed', cause: 'an earlier statement of it failed' });
      return this.#withDriverErrors(run);
    };
    const finish = async (statement: 'COMMIT' | 'ROLLBACK') => {
      try {
        if (statement === 'COMMIT') await within(() => this.#database.exec('COMMIT'));
      } finally {
        if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec('ROLLBACK');
        end();
      }
    };
    return {
      ...about,
      options: { usePhantomQuery: true },
      queryRaw: (query) => within(() => this.#query(query)),
      executeRaw: (query) => within(() => this.#execute(query)),
      commit: () => finish('COMMIT'),
      rollback: () => finish('ROLLBACK'),
    };
  }

  /**
   * Runs `run` outside any transaction. Waits for this process's transaction and retries while others lock the file.
   */
  async #alone<T>(run: () => T): Promise<T> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      await this.#waitForTurn();
      try {
        return run();
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw toDriverError(error);
      }
      await sleep(RETRY_MS);
    }
  }

  /** Waits until no transaction is open and this iteration of the event loop has time left. */
  async #waitForTurn(): Promise<void> {
    do {
      while (this.#openTransaction) await this.#openTransaction;
      const turn = yieldWhenBusy();
      if (!turn) return;
      await turn;
      // A transaction may have started meanwhile.
    } while (this.#openTransaction);
  }

  #withDriverErrors<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw toDriverError(error);
    }
  }

  #query({ sql, args, argTypes }: SqlQuery): SqlResultSet {
    const { statement, names, types } = this.#prepare(sql);
    const values = args.map((value, index) => toSqlite(value, argTypes[index]));
    const found = statement.all(...values) as unknown as SqliteValue[][];
    const columnTypes = types.map((type, column) => type ?? typeOfValues(found, column));
    for (const row of found) {
      for (let column = 0; column < row.length; column++)
        row[column] = toPrisma(row[column] as SqliteValue, columnTypes[column] as ColumnType) as SqliteValue;
    }
    return { columnNames: names, columnTypes, rows: found };
  }

  #execute({ sql, args, argTypes }: SqlQuery): number {
    const values = args.map((value, index) => toSqlite(value, argTypes[index]));
    return Number(this.#prepare(sql).statement.run(...values).changes);
  }

  #prepare(sql: string): Prepared {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#database.prepare(sql);
    const columns = statement.columns();
    const types = columns.map(({ type }) => declaredType(type));
    statement.setReturnArrays(true);
    // Reading every integer as a BigInt is slow, so do it only for columns that may exceed 2^53.
    statement.setReadBigInts(types.some((type) => type === undefined || type === ColumnTypeEnum.Int64));
    const prepared = { statement, names: columns.map(({ name }) => name), types };
    this.#statements.set(sql, prepared);
    return prepared;
  }
}
