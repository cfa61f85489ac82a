import { StartupError } from '../startup-error.ts';
import type { PostgresPlace } from './url.ts';

/** What a start fails by, by PostgreSQL's code or the system's; the server's own words may hold what was given. */
const REASONS: Readonly<Record<string, string>> = {
  '28P01': 'the user or the password is wrong',
  '28000': 'the server does not let this user in from here',
  '3D000': 'there is no such database: create it first',
  '3F000': 'there is no such schema: create it first',
  '42501': 'the user may not create tables there: grant CREATE on the schema, or name another',
  '25006': 'the database is read-only',
  '53300': 'the server has no connection left',
  '57P03': 'the server is starting up or shutting down',
  '57P01': 'the server is shutting down',
  ECONNREFUSED: 'no server listens there',
  ENOTFOUND: 'its host is not known',
  EAI_AGAIN: 'its host cannot be looked up',
  ETIMEDOUT: 'the server does not answer',
  EHOSTUNREACH: 'its host cannot be reached',
};

/** Runs what a start does first with the database; what fails is one sentence. */
export async function explainStart<T>({ schema }: PostgresPlace, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const code = codeOf(error);
    const reason = REASONS[code ?? ''] ?? (code === undefined ? 'the server does not answer in time' : `code ${code}`);
    throw new StartupError(`The database of DATABASE_URL (schema ${schema}) cannot be used: ${reason}.`, {
      cause: error,
    });
  }
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error instanceof AggregateError ? codeOf(error.errors[0]) : codeOf(error.cause);
}
