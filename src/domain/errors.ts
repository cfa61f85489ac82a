import { isUnavailable, tookTooLong } from '../storage/database-error.ts';

/** Every error code of the domain. `graphql/errors.ts` maps each code to its GraphQL type and REST status. */
export const ERROR_CODES = [
  'INVALID_INPUT',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'NAME_TAKEN',
  'DEFAULT_CLUSTER',
  'REGISTRY_NOT_EMPTY',
  'REVISION_CONFLICT',
  'CONNECTION_FAILED',
  'DIFFERENT_CLUSTER',
  'TOO_MANY_STREAMS',
  'CREDENTIALS_WRONG',
  'TOO_MANY_ATTEMPTS',
  'ALREADY_SET_UP',
  'LAST_ADMIN',
  'UNAVAILABLE',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** One invalid field: its path from the root of the input, and how to fix it. */
export interface InputIssue {
  readonly path: readonly string[];
  readonly message: string;
}

/** An error that may be shown to the caller. Its message is one readable sentence without secrets. */
export class DomainError extends Error {
  override readonly name = 'DomainError';
  readonly code: ErrorCode;
  /** Additional fields of the GraphQL error type, besides message and code. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

/**
 * Maximum number of issues in one error: enough for every field of the largest input. An additional issue states how
 * many are omitted.
 */
const MAX_ISSUES = 25;
/** Maximum number of names in a message. Of the others, only the number is shown. */
const MAX_NAMES = 5;
/** Longer names are truncated in messages. No valid role or action name is longer. */
const MAX_NAME_LENGTH = 80;

/**
 * Creates an INVALID_INPUT error with the first MAX_ISSUES issues. The message joins them, for REST responses that have
 * room for a single sentence.
 */
export function invalidInput(allIssues: readonly InputIssue[]): DomainError {
  const issues = allIssues.slice(0, MAX_ISSUES);
  const more = allIssues.length - issues.length;
  if (more > 0) issues.push({ path: [], message: `and ${more.toLocaleString('en')} more problems` });
  const message = issues.map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message));
  return new DomainError('INVALID_INPUT', message.join('; '), { issues });
}

/** Joins names from the input for a message, with limits on their number and length. */
export function formatNames(names: readonly string[]): string {
  const shown = names
    .slice(0, MAX_NAMES)
    .map((name) => (name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH)}…` : name));
  const more = names.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more.toLocaleString('en')} more` : shown.join(', ');
}

/**
 * Returns a DomainError unchanged, and UNAVAILABLE if the database is currently unavailable or too slow. Undefined for
 * any other error, which is a bug.
 */
export function domainErrorOf(error: unknown): DomainError | undefined {
  if (error instanceof DomainError) return error;
  if (!isUnavailable(error)) return undefined;
  const message = tookTooLong(error)
    ? 'The database query took too long and was stopped: request less data, or try again later'
    : 'The database cannot be used right now: try again later';
  return new DomainError('UNAVAILABLE', message, {}, { cause: error });
}
