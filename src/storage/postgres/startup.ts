import { StartupError } from '../startup-error.ts';
import type { PostgresLocation } from './url.ts';

/** What a start fails by, by PostgreSQL's code or the system's; the server's own words may hold what was given. */
const REASONS: Readonly<Record<string, string>> = {
  '28P01': 'the user or the password is wrong',
  '28000': 'the server does not let this user in from here',
  '3D000': 'there is no such database: create it first',
  '3F000': 'there is no such schema: create it first',
  '42501': 'the user lacks a right there: let it own the schema and its tables, or name another',
  '25006': 'the database is read-only',
  '53300': 'the server has no connection left',
  '57P03': 'the server is starting up or shutting down',
  '57P01': 'the server is shutting down',
  ECONNREFUSED: 'no server listens there',
  ENOENT: 'there is no such socket',
  EACCES: 'its socket may not be used',
  ECONNRESET: 'the server ended the connection',
  ENOTFOUND: 'its host is not known',
  EAI_AGAIN: 'its host cannot be looked up',
  ETIMEDOUT: 'the server does not answer',
  EHOSTUNREACH: 'its host cannot be reached',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  ...Object.fromEntries(
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'].map((code) => [
      code,
      'its certificate is not trusted: name its authority with sslrootcert=<file>',
    ]),
  ),
};

/** What pg itself says, without a code. */
const SAID: readonly [RegExp, string][] = [
  [/does not support SSL/, 'the server has no TLS, which its sslmode asks for'],
  [/password must be a/, 'the server asks for a password, and the URL has none'],
  [/^SASL/, 'the server could not be told the password'],
  [/timeout/, 'the server does not answer in time'],
  [/terminated/, 'the server ended the connection'],
  [/received (?:invalid|unexpected)|establishing an SSL/i, 'the server answers as no PostgreSQL does'],
];

/** Runs what a start does first with the database; what fails is one sentence. */
export async function explainStart<T>({ schema }: PostgresLocation, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const known = reasonOf(error);
    const reason = known ?? `a fault that is not known (${codeOf(error) ?? typeOf(error)})`;
    // A reason that is known says it all; of any other the log says where.
    const cause = known === undefined ? { cause: error } : {};
    throw new StartupError(`The database of DATABASE_URL (schema ${schema}) cannot be used: ${reason}.`, cause);
  }
}

function reasonOf(error: unknown): string | undefined {
  const code = codeOf(error);
  if (code !== undefined) return REASONS[code];
  const message = error instanceof Error ? error.message : '';
  return SAID.find(([said]) => said.test(message))?.[1];
}

function typeOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : typeof error;
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error instanceof AggregateError ? codeOf(error.errors[0]) : codeOf(error.cause);
}
