import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  getOperationAST,
  getVariableValues,
  type ParseOptions,
  parse,
  Source,
} from 'graphql';
import type { Plugin, YogaInitialContext } from 'graphql-yoga';
import { yieldWhenBusy } from '../event-loop.ts';
import { chargeOrThrow, TOKEN_COST } from './charge.ts';
import type { Context } from './context.ts';
import { quotableVariables } from './quotable.ts';
import { variableError } from './request-error.ts';

/** Maximum tokens of a GraphQL document; the parser stops at the limit. A full introspection query has about 600. */
const MAX_TOKENS = 2_000;
/**
 * Maximum characters of a document. MAX_TOKENS does not suffice: comments are not tokens, and to find the line of an
 * error GraphQL.js searches the whole text.
 */
const MAX_DOCUMENT = 64 * 1024;
/** Maximum number of reported errors in the variables of one document. */
const MAX_VARIABLE_ERRORS = 5;

function documentTooLargeError(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST' } });
}

const PARAMETERS = ['query', 'variables', 'operationName', 'extensions'] as const;

/**
 * Ignores unknown members of a request, such as the `id` that Relay sends, and an empty operation name. Yoga would
 * reject both, but the GraphQL-over-HTTP specification tells servers to ignore unknown members.
 */
export function knownParameters(): Plugin {
  return {
    onRequestParse: () => ({
      onRequestParseDone({ requestParserResult, setRequestParserResult }) {
        if (Array.isArray(requestParserResult) || typeof requestParserResult?.query !== 'string') return;
        const { operationName, ...rest } = requestParserResult;
        const given = { ...rest, ...(operationName === '' ? {} : { operationName }) };
        const known = PARAMETERS.flatMap((name) =>
          given[name as keyof typeof given] !== undefined ? [[name, given[name as keyof typeof given]]] : [],
        );
        setRequestParserResult(Object.fromEntries(known));
      },
    }),
  };
}

/**
 * Rejects documents longer than MAX_DOCUMENT. Then lets other requests run before the document is parsed and validated:
 * many documents may arrive in one iteration of the event loop.
 */
export function documentLimit(): Plugin {
  return {
    onParams({ params: { query } }) {
      if ((query?.length ?? 0) > MAX_DOCUMENT)
        throw documentTooLargeError(`The document has more than ${MAX_DOCUMENT} characters: pass values as variables`);
      return yieldWhenBusy();
    },
  };
}

/**
 * Stops parsing after MAX_TOKENS, and charges the caller for parsing and one validation, also if the document is
 * invalid.
 */
export function parsingLimit(): Plugin<Context> {
  return {
    onParse({ context, setParseFn }) {
      const { charge } = context as unknown as Context;
      setParseFn((source, options) => {
        const document = parseWithin(String(source), options);
        chargeOrThrow(
          charge,
          TOKEN_COST * (document instanceof GraphQLError ? MAX_TOKENS : (document.tokenCount ?? 0)),
        );
        if (document instanceof GraphQLError) throw document;
        return document;
      });
    },
  };
}

function parseWithin(source: string, options?: ParseOptions): DocumentNode | GraphQLError {
  try {
    return parse(source, { ...options, maxTokens: MAX_TOKENS });
  } catch (error) {
    if (error instanceof GraphQLError) return error;
    // A deeply nested document overflows the stack of the recursive parser.
    return new GraphQLError('The document cannot be parsed', { source: new Source(source), positions: [0] });
  }
}

interface Operation {
  readonly args: ExecutionArgs;
  readonly setResultAndStopExecution: (result: ExecutionResult) => void;
}

/**
 * Builds a plugin that can reject an operation before its cost is computed. If `findRejection` returns a result, that
 * is the response and the operation is not executed.
 */
export function rejectBeforeExecution(
  findRejection: (args: ExecutionArgs) => ExecutionResult | undefined,
): Plugin<Context> {
  const check = ({ args, setResultAndStopExecution }: Operation) => {
    const result = findRejection(args);
    if (result) setResultAndStopExecution(result);
  };
  return { onExecute: check, onSubscribe: check };
}

/** Whether an `Accept` header names `text/event-stream`, the only media type in which subscriptions are sent. */
export function acceptsEventStream(accept: string | null | undefined): boolean {
  return accept?.toLowerCase().includes('text/event-stream') ?? false;
}

/**
 * Rejects subscriptions with HTTP 406 unless the `Accept` header names the event stream. Yoga would also stream to a
 * client that accepts any type, but such a client waits for the end of the response, which never comes.
 */
export function streamLimit(): Plugin<Context> {
  return rejectBeforeExecution(({ contextValue, document, operationName }) => {
    if (getOperationAST(document, operationName)?.operation !== 'subscription') return undefined;
    if (acceptsEventStream((contextValue as YogaInitialContext).request.headers.get('accept'))) return undefined;
    const extensions = { code: 'BAD_REQUEST', http: { status: 406 } };
    const message = 'Subscriptions are sent as an event stream: send the header Accept: text/event-stream';
    return { errors: [new GraphQLError(message, { extensions })] };
  });
}

/** Rejects invalid variables after MAX_VARIABLE_ERRORS errors; the execution itself would search for all of them. */
export function variableLimit(): Plugin<Context> {
  return rejectBeforeExecution(({ schema, document, operationName, variableValues }) => {
    const definitions = getOperationAST(document, operationName)?.variableDefinitions ?? [];
    const shortened = quotableVariables(schema, definitions, variableValues ?? {});
    const { errors } = getVariableValues(schema, definitions, shortened, { maxErrors: MAX_VARIABLE_ERRORS });
    return errors && { errors: errors.map(variableError) };
  });
}
