import { GraphQLError, type GraphQLErrorOptions } from 'graphql';
import type { Logger } from 'pino';
import { DomainError, domainErrorOf, type ErrorCode } from '../domain/errors.ts';
import { sentenceWithoutValue } from '../internals/graphql-messages.ts';

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

/** A domain error as a member of a mutation's union. A plain object, because GraphQL.js throws any returned `Error`. */
export interface ErrorResult {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Runs a mutation. Returns domain errors that have a GraphQL type as members of its union; throws all other errors. */
export async function asErrorResult<T>(run: () => Promise<T>): Promise<T | ErrorResult> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof DomainError) || ERRORS[error.code].type === null) throw error;
    return { ...error.details, code: error.code, message: error.message };
  }
}

/**
 * Builds `resolveType` of a mutation's union: an object with an error code has that code's error type, any other object is the success.
 */
export function resultType(success: string): (value: object) => string {
  return (value) => {
    if (!('code' in value)) return success;
    return ERRORS[value.code as ErrorCode].type ?? success;
  };
}

// Errors that have already been masked. Masking one again would remove its details.
const masked = new WeakSet<GraphQLError>();

/**
 * Every error in a GraphQL response passes through this function. A domain error keeps its message. An error in the
 * request keeps GraphQL.js' message without the values that the client sent. Any other error is logged and becomes
 * INTERNAL.
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
    // `spec` makes Yoga send 200 if the response type is application/json. That is right for an invalid
    // document, but not for a request without a readable document.
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
