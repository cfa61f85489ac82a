import type { Socket } from 'node:net';
import { type Client, type ClientBase, escapeIdentifier, Pool } from 'pg';
import { READ_ONLY } from './errors.ts';
import type { PostgresLocation } from './url.ts';

/** Milliseconds after which an answer is waited for no longer. */
const ANSWER_MS = 10_000;
/** Connections of a replica: changes take turns in one of them, the rest read. PostgreSQL allows 100 in all by default. */
export const CONNECTIONS = 8;
/**
 * Seconds after which PostgreSQL stops a statement, whose caller then hears of it: longer than the 8 s that a change may wait
 * for another replica's, shorter than ANSWER_MS, which costs the connection.
 */
const STATEMENT_S = 9;

/** The connections that Prisma works with. */
export function openPool(place: PostgresLocation): Pool {
  const readOnly = new WeakSet<ClientBase>();
  const onConnect = async (connection: ClientBase) => {
    endWhenSilent(connection as Client);
    const { connection: wire } = connection as Client;
    wire.on('errorMessage', ({ code }: { code?: string }) => {
      if (code === READ_ONLY) readOnly.add(connection);
    });
    await setUp(connection, place);
    await connection.query(`SET statement_timeout = '${STATEMENT_S}s'`);
  };
  const pool = new Pool({ ...place.client, max: CONNECTIONS, idleTimeoutMillis: 60_000, onConnect });
  // A connection stays as read-only as the database was when it was opened: the next one may write again.
  pool.on('release', (_error, connection) => {
    if (readOnly.has(connection)) void (connection as Client).end();
  });
  // One that breaks while nothing is asked of it is replaced at the next need.
  pool.on('error', () => {});
  return pool;
}

/** Sets what a new connection works under, before anything else is asked of it. */
export async function setUp(connection: ClientBase, { schema }: PostgresLocation): Promise<void> {
  // A replica that stands still in the middle of a change would keep every other from changing anything.
  const settings = ["SET idle_in_transaction_session_timeout = '8s'"];
  // Times are read as ISO 8601; the server, the database or the user may have been set to another style.
  settings.push("SET DateStyle = 'ISO'");
  // Whoever names no schema may have set the way to theirs for the user.
  if (schema !== 'public') settings.push(`SET search_path = ${escapeIdentifier(schema)}`);
  await connection.query(settings.join(';'));
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
