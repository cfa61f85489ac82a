import { type Client, type ClientBase, escapeIdentifier, Pool } from 'pg';
import { hasRunningQuery, onServerError, socketOf } from '../../internals/pg.ts';
import { READ_ONLY } from './errors.ts';
import type { PostgresLocation } from './url.ts';

/** Milliseconds without a response from PostgreSQL after which a connection is closed. */
const RESPONSE_TIMEOUT_MS = 10_000;
/** Connections per replica: one for changes, the others for reads. PostgreSQL allows 100 connections by default. */
export const CONNECTIONS = 8;
/**
 * Seconds after which PostgreSQL cancels a statement and reports an error to the caller. It is longer than the 8 s that
 * a change may wait for another replica, and shorter than RESPONSE_TIMEOUT_MS, which would close the connection.
 */
const STATEMENT_TIMEOUT_S = 9;

/** Opens the connection pool of the Prisma client. */
export function openPool(location: PostgresLocation): Pool {
  const readOnly = new WeakSet<ClientBase>();
  const onConnect = async (connection: ClientBase) => {
    closeOnResponseTimeout(connection as Client);
    onServerError(connection, (code) => {
      if (code === READ_ONLY) readOnly.add(connection);
    });
    await setUp(connection, location);
    await connection.query(`SET statement_timeout = '${STATEMENT_TIMEOUT_S}s'`);
  };
  const pool = new Pool({ ...location.client, max: CONNECTIONS, idleTimeoutMillis: 60_000, onConnect });
  // Closes a connection that reported a read-only database. It may remain read-only although the database has become
  // writable; a new connection is not.
  pool.on('release', (_error, connection) => {
    if (readOnly.has(connection)) void (connection as Client).end();
  });
  // The pool replaces an idle connection that breaks, so its error needs no handling.
  pool.on('error', () => {});
  return pool;
}

/** Configures the session of a new connection. Must run before any other statement. */
export async function setUp(connection: ClientBase, { schema }: PostgresLocation): Promise<void> {
  // A replica that hangs during a change would block the changes of every other replica.
  const settings = ["SET idle_in_transaction_session_timeout = '8s'"];
  // The driver expects ISO 8601, but the server, database or user may be configured with another style.
  settings.push("SET DateStyle = 'ISO'");
  // Without `?schema=`, a search_path that an administrator has set for the user stays in effect.
  if (schema !== 'public') settings.push(`SET search_path = ${escapeIdentifier(schema)}`);
  await connection.query(settings.join(';'));
}

/**
 * Closes the connection if a query gets no response in time. Otherwise a hung server would block its caller forever.
 */
export function closeOnResponseTimeout(client: Client): void {
  // pg's own query timeout is unsuitable: it would return the hung connection to the pool.
  const socket = socketOf(client);
  socket.setTimeout(RESPONSE_TIMEOUT_MS, () => {
    if (hasRunningQuery(client)) socket.destroy(timeoutError());
  });
}

function timeoutError(): Error {
  return Object.assign(new Error('the database did not respond in time'), {
    code: 'ETIMEDOUT',
    syscall: 'read',
    errno: -110,
  });
}
