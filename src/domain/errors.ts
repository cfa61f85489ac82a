import { isUnavailable, tookTooLong } from '../storage/database-error.ts';

/** The closed set of reasons why the domain refuses; `graphql/errors.ts` maps each to its type and its REST status. */
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

/** One wrong field: its path from the top of the input, and what to do about it. */
export interface InputIssue {
  readonly path: readonly string[];
  readonly message: string;
}

/** A refusal that a caller may read: its message is one sentence for a person and holds no secret. */
export class DomainError extends Error {
  override readonly name = 'DomainError';
  readonly code: ErrorCode;
  /** What the error's GraphQL type shows besides message and code. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

/** Issues that one error tells: every field of the largest input may be wrong. Of more it tells how many there are. */
const MAX_ISSUES = 25;
/** Names in a sentence that are told; of the others, how many there are. */
const MAX_TOLD = 5;
/** Characters of a name that is told: no longer one is any of ours. */
const MAX_TOLD_NAME = 80;

/** Lists the wrong fields, the first MAX_ISSUES; the message joins them, so that a surface with room for one sentence loses none. */
export function invalidInput(given: readonly InputIssue[]): DomainError {
  const issues = given.slice(0, MAX_ISSUES);
  const more = given.length - issues.length;
  if (more > 0) issues.push({ path: [], message: `and ${more.toLocaleString('en')} more problems` });
  const message = issues.map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message));
  return new DomainError('INVALID_INPUT', message.join('; '), { issues });
}

/** Names that a caller gave, for a sentence. */
export function listed(names: readonly string[]): string {
  const told = names
    .slice(0, MAX_TOLD)
    .map((name) => (name.length > MAX_TOLD_NAME ? `${name.slice(0, MAX_TOLD_NAME)}…` : name));
  const more = names.length - told.length;
  return more > 0 ? `${told.join(', ')} and ${more.toLocaleString('en')} more` : told.join(', ');
}

/** The error itself when the domain threw it, UNAVAILABLE when the database cannot be used now; undefined for a bug. */
export function domainErrorOf(error: unknown): DomainError | undefined {
  if (error instanceof DomainError) return error;
  if (!isUnavailable(error)) return undefined;
  const message = tookTooLong(error)
    ? 'The database took too long for this and was stopped: ask for less, or try again later'
    : 'The database cannot be used right now: try again later';
  return new DomainError('UNAVAILABLE', message, {}, { cause: error });
}
