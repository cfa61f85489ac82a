import { type Error as Cause, isDriverAdapterError } from '@prisma/driver-adapter-utils';

/** A rule that the database holds. */
export type UniqueRule = 'name' | 'default' | 'uid' | 'username';

// SQLite names the column, PostgreSQL the index.
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

/** Which rule of the registry a change would have broken, when it is one that the database holds. */
export function uniqueViolation(error: unknown): UniqueRule | undefined {
  const cause = causeOf(error);
  if (cause?.kind !== 'UniqueConstraintViolation' || !cause.constraint) return undefined;
  if ('fields' in cause.constraint) return RULES.get(cause.constraint.fields[0]);
  return 'index' in cause.constraint ? RULES.get(cause.constraint.index) : undefined;
}

/** Two changes waited for each other, and this one was given up: worth another try at once. */
export function isConflict(error: unknown): boolean {
  return causeOf(error)?.kind === 'TransactionWriteConflict' || prismaCodeOf(error) === 'P2034';
}

const UNAVAILABLE_KINDS: readonly Cause['kind'][] = [
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
/** Prisma's own: no connection or no turn in time. */
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

/** By the class that PostgreSQL's code begins with, or the code itself: https://www.postgresql.org/docs/15/errcodes-appendix.html */
const POSTGRES_UNAVAILABLE: Readonly<Record<string, string>> = {
  '08': 'the connection to the database broke',
  '28': 'the database does not let us in',
  '3D': 'the database is not there',
  '53': 'the database has run out of connections, memory or disk',
  '57014': 'the database stopped a statement that took too long',
  '57': 'the database is shutting down or starting up',
  '58': 'the database cannot read or write its files',
  '25006': 'the database is read-only',
  '25P03': 'the change took too long',
  '55P03': 'another change holds the database',
};

/**
 * Why the database cannot do its work now (busy, full, read-only, gone), in words without data, or nothing when the
 * error is of another kind. The caller may try again. All of the transaction has been stored or none, and as a rule none:
 * where the connection broke while PostgreSQL committed, nobody here knows.
 */
export function unavailability(error: unknown): string | undefined {
  const cause = causeOf(error);
  if (cause?.kind === 'sqlite')
    return SQLITE_UNAVAILABLE[cause.extendedCode] ?? SQLITE_UNAVAILABLE[cause.extendedCode & 0xff];
  if (cause?.kind === 'postgres')
    return POSTGRES_UNAVAILABLE[cause.code] ?? POSTGRES_UNAVAILABLE[cause.code.slice(0, 2)];
  if (cause?.kind === 'SocketTimeout' && cause.originalCode !== undefined) return SQLITE_UNAVAILABLE[5];
  if (cause && UNAVAILABLE_KINDS.includes(cause.kind)) return 'the database does not answer';
  return UNAVAILABLE_CODES.includes(prismaCodeOf(error) ?? '') ? 'the database does not answer in time' : undefined;
}

/** Whether the database stopped a statement that took longer than it may: another try at once would end the same way. */
export function tookTooLong(error: unknown): boolean {
  const cause = causeOf(error);
  return cause?.kind === 'postgres' && cause.code === '57014';
}

/** The database is unavailable, read-only, full or busy: no bug, and worth another try. */
export function isUnavailable(error: unknown): boolean {
  return unavailability(error) !== undefined;
}

function causeOf(error: unknown): Cause | undefined {
  if (!(error instanceof Error)) return undefined;
  // A failed COMMIT arrives as the adapter threw it, everything else in Prisma's wrapping.
  if (isDriverAdapterError(error)) return error.cause;
  const meta = 'meta' in error ? (error.meta as { driverAdapterError?: { cause?: Cause } } | undefined) : undefined;
  return meta?.driverAdapterError?.cause;
}

function prismaCodeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
