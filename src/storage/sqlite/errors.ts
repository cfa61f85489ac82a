import { DriverAdapterError } from '@prisma/driver-adapter-utils';
import { constraintColumns, missingName, sqliteCodeOf } from '../../internals/sqlite-errors.ts';

const BUSY = 5;
const REMOVED = 1802;
const UNIQUE = [2067, 1555, 2579];
const NOT_NULL = 1299;
const FOREIGN_KEY = [787, 1811];

/** Whether another connection holds the required lock. */
export const isBusy = (error: unknown) => (sqliteCodeOf(error) & 0xff) === BUSY;

/** Whether the file was removed while it was open. */
export const isRemoved = (error: unknown) => sqliteCodeOf(error) === REMOVED;

/** Converts an error of node:sqlite to the driver error that Prisma expects. Returns any other error unchanged. */
export function toDriverError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DriverAdapterError) return error;
  const code = sqliteCodeOf(error);
  const original = { originalCode: String(code), originalMessage: error.message };
  if ('code' in error && error.code === 'ERR_INVALID_STATE')
    return new DriverAdapterError({ ...original, kind: 'ConnectionClosed' });
  if (code === 0) return error;
  if (isBusy(error)) return new DriverAdapterError({ ...original, kind: 'SocketTimeout' });
  if (FOREIGN_KEY.includes(code))
    return new DriverAdapterError({
      ...original,
      kind: 'ForeignKeyConstraintViolation',
      constraint: { foreignKey: {} },
    });
  const columns = constraintColumns(error);
  const constraint = { fields: columns.map((column) => column.slice(column.indexOf('.') + 1)) };
  if (UNIQUE.includes(code)) {
    const table = columns[0]?.split('.')[0];
    return new DriverAdapterError({
      ...original,
      kind: 'UniqueConstraintViolation',
      constraint,
      ...(table === undefined ? {} : { table }),
    });
  }
  if (code === NOT_NULL) return new DriverAdapterError({ ...original, kind: 'NullConstraintViolation', constraint });
  const missing = missingName(error);
  if (missing?.kind === 'table')
    return new DriverAdapterError({ ...original, kind: 'TableDoesNotExist', table: missing.name });
  if (missing) return new DriverAdapterError({ ...original, kind: 'ColumnNotFound', column: missing.name });
  return new DriverAdapterError({ ...original, kind: 'sqlite', extendedCode: code, message: error.message });
}
