import { GraphQLError, type GraphQLErrorOptions } from 'graphql';
import type { Logger } from 'pino';
import { DomainError, domainErrorOf, type ErrorCode } from '../domain/errors.ts';
import { sentenceWithoutValue } from './request-error.ts';

/** Each code's GraphQL type in a mutation's union (null: always a top-level error) and its REST status. */
export const ERRORS: Readonly<Record<ErrorCode, { readonly type: string | null; readonly status: number }>> = {
  INVALID_INPUT: { type: 'InvalidInputError', status: 400 },
  UNAUTHENTICATED: { type: null, status: 401 },
  FORBIDDEN: { type: 'ForbiddenError', status: 403 },
  NOT_FOUND: { type: 'NotFoundError', status: 404 },
  NAME_TAKEN: { type: 'NameTakenError', status: 409 },
  DEFAULT_CLUSTER: { type: 'DefaultClusterError', status: 400 },
  REGISTRY_NOT_EMPTY: { type: 'RegistryNotEmptyError', status: 403 },
  REVISION_CONFLICT: { type: 'RevisionConflictError', status: 409 },
  CONNECTION_FAILED: { type: 'ConnectionFailedError', status: 502 },
  DIFFERENT_CLUSTER: { type: 'DifferentClusterError', status: 409 },
  CREDENTIALS_WRONG: { type: null, status: 401 },
  TOO_MANY_ATTEMPTS: { type: null, status: 429 },
  ALREADY_SET_UP: { type: null, status: 403 },
  LAST_ADMIN: { type: 'LastAdminError', status: 409 },
  TOO_MANY_STREAMS: { type: null, status: 429 },
  UNAVAILABLE: { type: null, status: 503 },
};

/** A domain error as a member of a mutation's union: a plain object, since graphql-js throws whatever is an Error. */
export interface ErrorResult {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Runs a mutation; what the caller can act on becomes a member of its union, anything else is thrown. */
export async function asErrorResult<T>(run: () => Promise<T>): Promise<T | ErrorResult> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof DomainError) || ERRORS[error.code].type === null) throw error;
    return { ...error.details, code: error.code, message: error.message };
  }
}

/** Names the type of a union's member: an error by its code, anything else is the success. */
export function resultType(success: string): (value: object) => string {
  return (value) => {
    if (!('code' in value)) return success;
    return ERRORS[value.code as ErrorCode].type ?? success;
  };
}

// What has left once is not masked again: it would lose its details.
const masked = new WeakSet<GraphQLError>();

/**
 * The only exit of errors: a domain error keeps its sentence, a fault of the request keeps GraphQL's without the value
 * that was sent, anything else becomes INTERNAL and goes to the log.
 */
export function maskError(
  error: unknown,
  { log, requestId }: { log: Logger; requestId?: string | undefined },
): GraphQLError {
  if (error instanceof GraphQLError && masked.has(error)) return error;
  const result = mask(error, { log, requestId });
  masked.add(result);
  return result;
}

function mask(error: unknown, { log, requestId }: { log: Logger; requestId?: string | undefined }): GraphQLError {
  const { original, located } = unwrap(error);
  const domain = domainErrorOf(original);
  if (domain) {
    const extensions = { code: domain.code, ...domain.details };
    return new GraphQLError(domain.message, { ...located, extensions });
  }
  if (original instanceof GraphQLError && !original.originalError) {
    const code = original.extensions.code ?? 'BAD_REQUEST';
    const message = sentenceWithoutValue(original.message);
    // `spec` keeps 200 for application/json: right for a document that is wrong, not where there is none to speak of.
    const hasDocument = located.nodes !== undefined || located.source !== undefined;
    const http = original.extensions.http && { ...original.extensions.http, ...(hasDocument ? {} : { spec: false }) };
    return new GraphQLError(message, { ...located, extensions: { code, ...(http ? { http } : {}) } });
  }
  log.error({ err: original, requestId }, 'a request failed');
  return new GraphQLError('Something went wrong on our side; the log has it under this request id', {
    ...located,
    extensions: { code: 'INTERNAL', requestId },
  });
}

function unwrap(error: unknown) {
  let original = error;
  const located: Pick<GraphQLErrorOptions, 'path' | 'nodes' | 'source' | 'positions'> = {};
  while (original instanceof GraphQLError) {
    if (original.path) located.path = original.path;
    if (original.nodes) located.nodes = original.nodes;
    else if (original.source && original.positions)
      Object.assign(located, { source: original.source, positions: original.positions });
    if (!original.originalError) break;
    original = original.originalError;
  }
  return { original, located };
}
