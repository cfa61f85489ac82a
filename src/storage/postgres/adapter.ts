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
import { Mutex } from '../mutex.ts';
import { TOO_MANY_CONNECTIONS, toDriverError } from './errors.ts';
import { StatementNames } from './statement-names.ts';
import type { PostgresLocation } from './url.ts';

/** Prisma's adapter over a pool. Changes of this process take turns, so that those who wait leave the connections to readers. */
export function adapterOver(pool: Pool, { schema }: PostgresLocation): SqlDriverAdapterFactory {
  const names = new StatementNames();
  // That a statement may have no name is not in the types; pg then sends it as it is.
  const statementNameGenerator = ({ sql }: SqlQuery) => names.of(sql) as string;
  const published = new PrismaPg(pool, { schema, statementNameGenerator });
  const turns = new Mutex();
  return {
    provider: published.provider,
    adapterName: published.adapterName,
    async connect() {
      const adapter = explained(await published.connect(), async (error, ask) => {
        if (isServerFull(error)) return retryWithOpenConnection(pool, ask);
        if (!isOutdated(error)) throw error;
        names.forget();
        return ask();
      });
      const start = adapter.startTransaction.bind(adapter);
      adapter.startTransaction = async (isolationLevel) => {
        const endTurn = await turns.take();
        try {
          const transaction = inTurn(
            explained(await start(isolationLevel), (error) => {
              if (!isOutdated(error)) throw error;
              names.forget();
              // Nothing of the transaction stays: it is run again.
              throw new DriverAdapterError({ kind: 'TransactionWriteConflict' });
            }),
          );
          for (const end of ['commit', 'rollback'] as const) {
            const run = transaction[end].bind(transaction);
            transaction[end] = () => run().finally(endTurn);
          }
          return transaction;
        } catch (error) {
          endTurn();
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

/** A newer version has changed the type of a column: what was prepared before answers no more, and changed nothing. */
function isOutdated(error: unknown): boolean {
  if (!isDriverAdapterError(error)) return false;
  return error.cause.originalCode === '0A000' && /cached plan/.test(error.cause.originalMessage ?? '');
}

/** Errors without a code of PostgreSQL, as of a connection that broke, pass the adapter as they are. */
function explained<Queryable extends SqlQueryable>(
  queryable: Queryable,
  mend: <T>(error: unknown, ask: () => Promise<T>) => Promise<T>,
): Queryable {
  return around(queryable, async (ask) => {
    const asked = () =>
      ask().catch((error: unknown) => {
        throw toDriverError(error);
      });
    try {
      return await asked();
    } catch (error) {
      return mend(error, asked);
    }
  });
}

/** Prisma sends parts of a large statement at once, which one connection takes one after another. */
function inTurn<Queryable extends SqlQueryable>(queryable: Queryable): Queryable {
  const turns = new Mutex();
  return around(queryable, async (ask) => {
    const endTurn = await turns.take();
    return ask().finally(endTurn);
  });
}

function around<Queryable extends SqlQueryable>(
  queryable: Queryable,
  run: <T>(ask: () => Promise<T>) => Promise<T>,
): Queryable {
  const { queryRaw, executeRaw } = queryable;
  queryable.queryRaw = (query) => run(() => queryRaw.call(queryable, query));
  queryable.executeRaw = (query) => run(() => executeRaw.call(queryable, query));
  return queryable;
}
