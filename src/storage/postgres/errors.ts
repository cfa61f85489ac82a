import { DriverAdapterError, isDriverAdapterError } from '@prisma/driver-adapter-utils';
import { DatabaseError } from 'pg';
import { isUnavailable } from '../database-error.ts';

/** PostgreSQL's code for a change that a database takes none of, as a standby. */
export const READ_ONLY = '25006';
/** PostgreSQL's code for a server that accepts no further connection. */
export const TOO_MANY_CONNECTIONS = '53300';
/** What pg, its pool and we say of a connection, without a code. */
const SAID =
  /^(?:Connection terminated|Client (?:has encountered a connection error|was closed)|timeout (?:expired|exceeded)|Query read timeout|Cannot use a pool after|the database was closed)/;
/** The system's codes, those of Node's sockets, and those of TLS. */
const CODES = /^E(?!RR_)[A-Z_]+$|^ERR_(?:STREAM|SOCKET|TLS|SSL)_|CERT|SIGNATURE/;

/** An error as Prisma expects it, where it means that the database cannot be used now; any other is a fault and stays as it is. */
export function toDriverError(error: unknown): unknown {
  if (isDriverAdapterError(error) || !(error instanceof Error)) return error;
  const original = { originalMessage: error.message };
  if (error instanceof DatabaseError) {
    const { code = '', severity = '', message, detail, column, hint } = error;
    const refusal = { ...{ code, severity, message, detail, column, hint }, originalCode: code };
    const explained = new DriverAdapterError({ ...original, ...refusal, kind: 'postgres' });
    return isUnavailable(explained) ? explained : error;
  }
  return isBroken(error) ? new DriverAdapterError({ ...original, kind: 'ConnectionClosed' }) : error;
}

/** A connection that broke, or could not be made. */
function isBroken(error: Error): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return false;
  const code = 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? CODES.test(code) : SAID.test(error.message);
}
