import { StartupError } from '../startup-error.ts';
import type { PostgresLocation } from './url.ts';

/**
 * Why a start fails, by error code of PostgreSQL or the operating system. The server's own messages are not shown,
 * because they may contain parts of DATABASE_URL.
 */
const REASONS: Readonly<Record<string, string>> = {
  '28P01': 'the user or the password is wrong',
  '28000': 'the server does not accept connections of this user from this host',
  '3D000': 'no such database exists: create it first',
  '3F000': 'no such schema exists: create it first',
  '42501':
    'the user lacks a right there: make the user the owner of the schema and its tables, or choose another schema',
  '25006': 'the database is read-only',
  '53300': 'the server has no free connections',
  '57P03': 'the server is starting up or shutting down',
  '57P01': 'the server is shutting down',
  ECONNREFUSED: 'no server listens there',
  ENOENT: 'no such socket exists',
  EACCES: 'access to its socket is denied',
  ECONNRESET: 'the server closed the connection',
  ENOTFOUND: 'its host is unknown',
  EAI_AGAIN: 'its host cannot be resolved',
  ETIMEDOUT: 'the server does not respond',
  EHOSTUNREACH: 'its host cannot be reached',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  ...Object.fromEntries(
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'].map((code) => [
      code,
      'its certificate is not trusted: name the file of its CA with sslrootcert=<file>',
    ]),
  ),
};

/** Why a start fails, by messages that pg throws without an error code. */
const REASONS_BY_MESSAGE: readonly [RegExp, string][] = [
  [/does not support SSL/, 'the server has no TLS, but sslmode requires it'],
  [/password must be a/, 'the server asks for a password, but the URL has none'],
  [/^SASL/, 'the password could not be exchanged with the server (SASL)'],
  [/timeout/, 'the server does not respond in time'],
  [/terminated/, 'the server closed the connection'],
  [/received (?:invalid|unexpected)|establishing an SSL/i, 'the server does not respond like PostgreSQL'],
];

/** Runs the first database work of a start and converts its errors to StartupErrors of one sentence. */
export async function withStartupErrors<T>({ schema }: PostgresLocation, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const known = reasonOf(error);
    const reason = known ?? `an unknown error occurred (${codeOf(error) ?? typeOf(error)})`;
    // Only an unknown error keeps its cause: the log then shows the stack.
    const cause = known === undefined ? { cause: error } : {};
    throw new StartupError(`The database of DATABASE_URL (schema ${schema}) cannot be used: ${reason}.`, cause);
  }
}

function reasonOf(error: unknown): string | undefined {
  const code = codeOf(error);
  if (code !== undefined) return REASONS[code];
  const message = error instanceof Error ? error.message : '';
  return REASONS_BY_MESSAGE.find(([pattern]) => pattern.test(message))?.[1];
}

function typeOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : typeof error;
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error instanceof AggregateError ? codeOf(error.errors[0]) : codeOf(error.cause);
}
