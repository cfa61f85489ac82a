import { DriverAdapterError, isDriverAdapterError } from '@prisma/driver-adapter-utils';
import { DatabaseError } from 'pg';
import { isConnectionMessage } from '../../internals/pg.ts';
import { isUnavailable } from '../database-error.ts';

/** PostgreSQL's error code for a write to a read-only database, such as a standby. */
export const READ_ONLY = '25006';
/** PostgreSQL's code for a server that accepts no further connection. */
export const TOO_MANY_CONNECTIONS = '53300';
/** Error codes of the operating system, of Node's sockets and of TLS. */
const CONNECTION_CODES = /^E(?!RR_)[A-Z_]+$|^ERR_(?:STREAM|SOCKET|TLS|SSL)_|CERT|SIGNATURE/;

/**
 * Converts an error that means "the database is unavailable" to the type that Prisma expects. Returns others unchanged.
 */
export function toDriverError(error: unknown): unknown {
  if (isDriverAdapterError(error) || !(error instanceof Error)) return error;
  const original = { originalMessage: error.message };
  if (error instanceof DatabaseError) {
    const { code = '', severity = '', message, detail, column, hint } = error;
    const details = { ...{ code, severity, message, detail, column, hint }, originalCode: code };
    const driverError = new DriverAdapterError({ ...original, ...details, kind: 'postgres' });
    return isUnavailable(driverError) ? driverError : error;
  }
  return isConnectionError(error) ? new DriverAdapterError({ ...original, kind: 'ConnectionClosed' }) : error;
}

/** Whether a connection broke or could not be established. */
function isConnectionError(error: Error): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return false;
  const code = 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? CONNECTION_CODES.test(code) : isConnectionMessage(error.message);
}
