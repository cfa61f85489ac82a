import type { Socket } from 'node:net';
import { PrismaPg } from '@prisma/adapter-pg';
import {
  DriverAdapterError,
  isDriverAdapterError,
  type SqlDriverAdapterFactory,
  type SqlQueryable,
} from '@prisma/driver-adapter-utils';
import { type Client, Pool } from 'pg';
import { Turns } from '../turns.ts';
import type { PostgresPlace } from './url.ts';

/** Milliseconds after which an answer is waited for no longer. */
const ANSWER_MS = 10_000;
/** Connections of a replica: changes take turns in one of them, the rest read. PostgreSQL allows 100 in all by default. */
const CONNECTIONS = 8;
/** Statements that are prepared by name. Those with lists of many lengths would fill the server with names. */
const NAMED_STATEMENTS = 200;

/** The connections that Prisma works with. */
export function openPool({ client }: PostgresPlace): Pool {
  const pool = new Pool({ ...client, max: CONNECTIONS, idleTimeoutMillis: 60_000 });
  pool.on('connect', (connection) => endWhenSilent(connection as Client));
  // One that breaks while nothing is asked of it is replaced at the next need.
  pool.on('error', () => {});
  return pool;
}

/** Ends a connection whose answer does not come: a server that hangs would else keep it, and its caller, for ever. */
export function endWhenSilent(client: Client): void {
  // Whether an answer is awaited is not in the types; pg's own time-out would leave the connection to the next caller.
  const asked = client as Client & { readonly _activeQuery?: unknown };
  const stream = client.connection.stream as Socket;
  stream.setTimeout(ANSWER_MS, () => {
    if (asked._activeQuery) stream.destroy(timedOut());
  });
}

function timedOut(): Error {
  return Object.assign(new Error('the database did not answer in time'), {
    code: 'ETIMEDOUT',
    syscall: 'read',
    errno: -110,
  });
}

/** Prisma's adapter over a pool. Changes of this process take turns, so that those who wait leave the connections to readers. */
export function adapterOver(pool: Pool, { schema }: PostgresPlace): SqlDriverAdapterFactory {
  const names = new Map<string, string>();
  const statementNameGenerator = ({ sql }: { sql: string }) => {
    const known = names.get(sql);
    if (known !== undefined || names.size >= NAMED_STATEMENTS) return known as string;
    names.set(sql, `kitestring_${names.size}`);
    return names.get(sql) as string;
  };
  const published = new PrismaPg(pool, { schema, statementNameGenerator });
  const turns = new Turns();
  return {
    provider: published.provider,
    adapterName: published.adapterName,
    async connect() {
      const adapter = explained(await published.connect());
      const start = adapter.startTransaction.bind(adapter);
      adapter.startTransaction = async (isolationLevel) => {
        const endTurn = await turns.take();
        try {
          const transaction = explained(await start(isolationLevel));
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

/** Errors without a code of PostgreSQL, as of a connection that broke, pass the adapter as they are. */
function explained<Queryable extends SqlQueryable>(queryable: Queryable): Queryable {
  for (const run of ['queryRaw', 'executeRaw'] as const) {
    const ask = queryable[run].bind(queryable) as (query: never) => Promise<never>;
    queryable[run] = (query: never) =>
      ask(query).catch((error: unknown) => {
        throw toDriverError(error);
      });
  }
  return queryable;
}

/** An error as Prisma expects it. */
export function toDriverError(error: unknown): DriverAdapterError {
  if (isDriverAdapterError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new DriverAdapterError({ kind: 'ConnectionClosed', originalMessage: message });
}
