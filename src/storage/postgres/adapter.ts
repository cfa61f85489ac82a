import { setTimeout as sleep } from 'node:timers/promises';
import { PrismaPg } from '@prisma/adapter-pg';
import {
  DriverAdapterError,
  isDriverAdapterError,
  type SqlDriverAdapterFactory,
  type SqlQuery,
  type SqlQueryable,
} from '@prisma/driver-adapter-utils';
import type { Pool } from 'pg';
import { yieldWhenBusy } from '../../event-loop.ts';
import { Mutex } from '../mutex.ts';
import { TOO_MANY_CONNECTIONS, toDriverError } from './errors.ts';
import { StatementNames } from './statement-names.ts';
import type { PostgresLocation } from './url.ts';

/**
 * Creates Prisma's driver adapter over a pool. Only one transaction of this process runs at a time, so that waiting
 * transactions do not occupy connections that reads need.
 */
export function createAdapter(pool: Pool, { schema }: PostgresLocation): SqlDriverAdapterFactory {
  const names = new StatementNames();
  // PrismaPg's types require a name, but pg accepts undefined and then does not prepare the statement.
  const statementNameGenerator = ({ sql }: SqlQuery) => names.of(sql) as string;
  const prismaAdapter = new PrismaPg(pool, { schema, statementNameGenerator });
  const transactions = new Mutex();
  return {
    provider: prismaAdapter.provider,
    adapterName: prismaAdapter.adapterName,
    async connect() {
      const adapter = withDriverErrors(await prismaAdapter.connect(), async (error, retry) => {
        if (isServerFull(error)) return retryWithOpenConnection(pool, retry);
        if (!isOutdatedStatement(error)) throw error;
        names.renameAll();
        return retry();
      });
      const start = adapter.startTransaction.bind(adapter);
      adapter.startTransaction = async (isolationLevel) => {
        const release = await transactions.acquire();
        try {
          const transaction = oneAtATime(
            withDriverErrors(await start(isolationLevel), (error) => {
              if (!isOutdatedStatement(error)) throw error;
              names.renameAll();
              // PostgreSQL rolls back the transaction, so report a conflict: the caller runs it again.
              throw new DriverAdapterError({ kind: 'TransactionWriteConflict' });
            }),
          );
          for (const end of ['commit', 'rollback'] as const) {
            const run = transaction[end].bind(transaction);
            transaction[end] = () => run().finally(release);
          }
          return transaction;
        } catch (error) {
          release();
          throw toDriverError(error);
        }
      };
      return adapter;
    },
  };
}

/** How long a read waits for one of the pool's own connections while PostgreSQL accepts no further one, in milliseconds. */
const FULL_SERVER_WAIT_MS = 2_000;
const RETRY_MS = 50;

function isServerFull(error: unknown): boolean {
  return isDriverAdapterError(error) && error.cause.originalCode === TOO_MANY_CONNECTIONS;
}

/** Repeats a read that needed a further connection, which PostgreSQL refused, until an open one of the pool is free. */
async function retryWithOpenConnection<T>(pool: Pool, read: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + FULL_SERVER_WAIT_MS;
  for (;;) {
    await sleep(RETRY_MS);
    try {
      return await read();
    } catch (error) {
      if (!isServerFull(error) || pool.totalCount === 0 || performance.now() > deadline) throw error;
    }
  }
}

/**
 * Whether a prepared statement failed because a newer version changed the type of a column. The statement had no
 * effect.
 */
function isOutdatedStatement(error: unknown): boolean {
  if (!isDriverAdapterError(error)) return false;
  return error.cause.originalCode === '0A000' && /cached plan/.test(error.cause.originalMessage ?? '');
}

/**
 * Converts errors that PrismaPg does not convert, such as a broken connection, to driver errors. A failed query calls
 * `recover`, which may run the query again.
 */
function withDriverErrors<Queryable extends SqlQueryable>(
  queryable: Queryable,
  recover: <T>(error: unknown, retry: () => Promise<T>) => Promise<T>,
): Queryable {
  return wrapQueries(queryable, async (query) => {
    const run = () =>
      query().catch((error: unknown) => {
        throw toDriverError(error);
      });
    try {
      const rows = await run();
      // Many results may arrive in one iteration of the event loop, and the caller computes with them.
      await yieldWhenBusy();
      return rows;
    } catch (error) {
      return recover(error, run);
    }
  });
}

/**
 * Runs queries one after another: Prisma sends the parts of a large statement at once, but a connection runs only one.
 */
function oneAtATime<Queryable extends SqlQueryable>(queryable: Queryable): Queryable {
  const queries = new Mutex();
  return wrapQueries(queryable, async (query) => {
    const release = await queries.acquire();
    return query().finally(release);
  });
}

function wrapQueries<Queryable extends SqlQueryable>(
  queryable: Queryable,
  wrapper: <T>(query: () => Promise<T>) => Promise<T>,
): Queryable {
  const { queryRaw, executeRaw } = queryable;
  queryable.queryRaw = (query) => wrapper(() => queryRaw.call(queryable, query));
  queryable.executeRaw = (query) => wrapper(() => executeRaw.call(queryable, query));
  return queryable;
}
