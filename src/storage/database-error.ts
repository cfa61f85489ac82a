import { type DriverError, driverErrorOf } from '../internals/prisma-errors.ts';

/** A uniqueness rule that the database enforces. */
export type UniqueRule = 'name' | 'default' | 'uid' | 'username';

// SQLite reports the column, PostgreSQL the index.
const RULES = new Map<string | undefined, UniqueRule>([
  ['name', 'name'],
  ['Cluster_name_key', 'name'],
  ['isDefault', 'default'],
  ['Cluster_one_default', 'default'],
  ['username', 'username'],
  ['User_username_key', 'username'],
  ['uid', 'uid'],
  ['Cluster_uid_key', 'uid'],
]);

/** The uniqueness rule that the failed change violated; undefined for any other error. */
export function uniqueViolation(error: unknown): UniqueRule | undefined {
  const cause = driverErrorOf(error);
  if (cause?.kind !== 'UniqueConstraintViolation' || !cause.constraint) return undefined;
  if ('fields' in cause.constraint) return RULES.get(cause.constraint.fields[0]);
  return 'index' in cause.constraint ? RULES.get(cause.constraint.index) : undefined;
}

/**
 * Whether the database aborted this change because of a deadlock or write conflict. The caller can retry immediately.
 */
export function isConflict(error: unknown): boolean {
  return driverErrorOf(error)?.kind === 'TransactionWriteConflict' || prismaCodeOf(error) === 'P2034';
}

const UNAVAILABLE_KINDS: readonly DriverError['kind'][] = [
  'SocketTimeout',
  'ConnectionClosed',
  'DatabaseNotReachable',
  'DatabaseDoesNotExist',
  'DatabaseAccessDenied',
  'AuthenticationFailed',
  'TlsConnectionError',
  'TooManyConnections',
  'TransactionAlreadyClosed',
  'TransactionWriteConflict',
];
/** Prisma's error codes for a connection failure, or a timeout while waiting for a connection or transaction. */
const UNAVAILABLE_CODES = ['P1001', 'P1008', 'P1017', 'P2024', 'P2028'];
const SQLITE_UNAVAILABLE: Readonly<Record<number, string>> = {
  5: 'another process is writing to the database',
  6: 'another process is writing to the database',
  8: 'the database is read-only',
  10: 'the database file cannot be read or written',
  11: 'the database file is damaged',
  13: 'the disk is full',
  14: 'the database file cannot be opened',
  26: 'the database file is not a database',
  1032: 'the database file was moved or replaced',
};

/**
 * Keys are PostgreSQL error codes or their first two characters, the error class:
 * https://www.postgresql.org/docs/15/errcodes-appendix.html
 */
const POSTGRES_UNAVAILABLE: Readonly<Record<string, string>> = {
  '08': 'the connection to the database broke',
  '28': 'the database rejected the credentials',
  '3D': 'the database does not exist',
  '53': 'the database has run out of connections, memory or disk',
  '57014': 'the database stopped a statement that took too long',
  '57': 'the database is shutting down or starting up',
  '58': 'the database cannot read or write its files',
  '25006': 'the database is read-only',
  '25P03': 'the change took too long',
  '55P03': 'another change holds a lock in the database',
};

/**
 * Explains why the database is unavailable (busy, full, read-only, gone) without including stored data; undefined for
 * any other error. The caller may retry. The transaction was stored completely or not at all. Usually it was not
 * stored, but the outcome is unknown if the connection broke while PostgreSQL was committing.
 */
export function unavailability(error: unknown): string | undefined {
  const cause = driverErrorOf(error);
  if (cause?.kind === 'sqlite')
    return SQLITE_UNAVAILABLE[cause.extendedCode] ?? SQLITE_UNAVAILABLE[cause.extendedCode & 0xff];
  if (cause?.kind === 'postgres')
    return POSTGRES_UNAVAILABLE[cause.code] ?? POSTGRES_UNAVAILABLE[cause.code.slice(0, 2)];
  if (cause?.kind === 'SocketTimeout' && cause.originalCode !== undefined) return SQLITE_UNAVAILABLE[5];
  if (cause && UNAVAILABLE_KINDS.includes(cause.kind)) return 'the database does not respond';
  return UNAVAILABLE_CODES.includes(prismaCodeOf(error) ?? '') ? 'the database does not respond in time' : undefined;
}

/**
 * Whether the database cancelled a statement that exceeded its time limit. An immediate retry would fail the same way.
 */
export function tookTooLong(error: unknown): boolean {
  const cause = driverErrorOf(error);
  return cause?.kind === 'postgres' && cause.code === '57014';
}

/**
 * Whether the database is unavailable, read-only, full or busy: an operational error that the caller may retry, not a
 * bug.
 */
export function isUnavailable(error: unknown): boolean {
  return unavailability(error) !== undefined;
}

function prismaCodeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
