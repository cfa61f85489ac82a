import type { Socket } from 'node:net';
import type { Client, ClientBase } from 'pg';

/** Whether a query waits for its response. The types omit `_activeQuery`. */
export function hasRunningQuery(client: Client): boolean {
  return Boolean((client as Client & { readonly _activeQuery?: unknown })._activeQuery);
}

/** The socket of a connected client. */
export function socketOf(client: Client): Socket {
  return client.connection.stream as Socket;
}

/** Calls `listener` with the code of each error that PostgreSQL sends, also within a transaction of Prisma's. */
export function onServerError(client: ClientBase, listener: (code: string | undefined) => void): void {
  (client as Client).connection.on('errorMessage', ({ code }: { code?: string }) => listener(code));
}

/** Messages of connection errors that pg, its pool and Kitestring throw without an error code. */
const CONNECTION_MESSAGES =
  /^(?:Connection terminated|Client (?:has encountered a connection error|was closed)|timeout (?:expired|exceeded)|Query read timeout|Cannot use a pool after|the database was closed)/;

/** Whether an error without a code says that a connection broke or could not be established. */
export function isConnectionMessage(message: string): boolean {
  return CONNECTION_MESSAGES.test(message);
}
