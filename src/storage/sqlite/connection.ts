import type { DatabaseSync, DatabaseSyncOptions, StatementSync } from 'node:sqlite';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
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
import { Mutex } from '../mutex.ts';
import { Pace } from '../pace.ts';
import { isBusy, toDriverError } from './errors.ts';
import { openSqlite, PATIENCE_MS } from './file.ts';
import { declaredType, type SqliteValue, toPrisma, toSqlite, typeOfValues } from './values.ts';

const KEPT_STATEMENTS = 200;
const RETRY_MS = 15;
/** SQLite's own limit, https://sqlite.org/limits.html; Prisma takes 999 for granted. */
const MAX_VALUES = 32_766;

const about = { provider: 'sqlite', adapterName: 'node:sqlite' } as const;

type Prepared = { statement: StatementSync; names: string[]; types: (ColumnType | undefined)[] };

/** Prisma's driver adapter over one connection: a query of others never lands in an open transaction. */
export class SqliteConnection implements SqlDriverAdapter {
  readonly provider = about.provider;
  readonly adapterName = about.adapterName;
  readonly #database: DatabaseSync;
  readonly #kept = new Map<string, Prepared>();
  /** Settles when the open transaction ends. */
  #open: Promise<void> | undefined;
  readonly #writers = new Mutex();
  readonly #pace = new Pace();

  constructor(file: string, options?: DatabaseSyncOptions) {
    this.#database = openSqlite(file, options);
  }

  /** For the one PrismaClient over this connection, which closes it. */
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

  /** Runs a script whole or not at all; foreign keys are checked at its end instead of at each statement. */
  executeScript(script: string): Promise<void> {
    return this.#alone(() => {
      this.#kept.clear();
      this.#database.exec('PRAGMA foreign_keys = OFF');
      try {
        this.#database.exec('BEGIN IMMEDIATE');
        this.#database.exec(script);
        const [broken] = this.#database.prepare('PRAGMA foreign_key_check').all();
        if (broken)
          throw new Error(`rows of table ${broken.table} would refer to rows of ${broken.parent} that are not there`);
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
    const endTurn = await this.#writers.take();
    // All of a transaction may run without a turn of the event loop: many in a row would keep everything else waiting.
    await nextTurn();
    const open = Promise.withResolvers<void>();
    try {
      await this.#alone(() => {
        // IMMEDIATE: a transaction that reads first could not write once another process has written.
        this.#database.exec('BEGIN IMMEDIATE');
        this.#open = open.promise;
      });
    } catch (error) {
      endTurn();
      throw error;
    }
    // Readers that waited go first, then the next writer.
    const end = () => {
      this.#open = undefined;
      open.resolve();
      endTurn();
    };
    return this.#transaction(end);
  }

  async dispose(): Promise<void> {
    this.#kept.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #transaction(end: () => void): Transaction {
    // A full disk or a failed write ends SQLite's transaction: what follows must not be committed one by one.
    const within = async <T>(run: () => T): Promise<T> => {
      if (!this.#database.isOpen || !this.#database.isTransaction)
        throw new DriverAdapterError({ kind: 'TransactionAlreadyClosed', cause: 'an earlier statement of it failed' });
      return this.#mapped(run);
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

  /** Runs outside of every transaction, as soon as this and other processes let it. */
  async #alone<T>(run: () => T): Promise<T> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      // A transaction may begin while a turn is waited for.
      for (let wait = this.#open ?? this.#pace.wait(); wait; wait = this.#open ?? this.#pace.wait()) await wait;
      try {
        return this.#pace.run(run);
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw toDriverError(error);
      }
      await sleep(RETRY_MS);
    }
  }

  #mapped<T>(run: () => T): T {
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
    let prepared = this.#kept.get(sql);
    if (prepared) {
      this.#kept.delete(sql);
    } else {
      const statement = this.#database.prepare(sql);
      const columns = statement.columns();
      const types = columns.map(({ type }) => declaredType(type));
      statement.setReturnArrays(true);
      // Only where an integer may exceed 2^53: reading all as BigInt costs.
      statement.setReadBigInts(types.some((type) => type === undefined || type === ColumnTypeEnum.Int64));
      prepared = { statement, names: columns.map(({ name }) => name), types };
      const [oldest] = this.#kept.size >= KEPT_STATEMENTS ? this.#kept.keys() : [];
      if (oldest !== undefined) this.#kept.delete(oldest);
    }
    this.#kept.set(sql, prepared);
    return prepared;
  }
}
