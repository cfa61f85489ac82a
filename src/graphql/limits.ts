import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type FieldNode,
  GraphQLError,
  getOperationAST,
  getVariableValues,
  type ParseOptions,
  parse,
  Source,
} from 'graphql';
import type { Plugin, YogaInitialContext } from 'graphql-yoga';
import { SIGN_IN_FIRST } from '../domain/access/permissions.ts';
import type { Context } from './context.ts';
import { chargeOrThrow, TOKEN_COST } from './cost.ts';
import { rootFieldsOf } from './document-facts.ts';
import { quotableVariables } from './quotable.ts';
import { variableError } from './request-error.ts';

/** GraphQL documents of more tokens are refused while they are parsed; a full introspection has about 600. */
const MAX_TOKENS = 2_000;
/** Characters of a document: comments are no tokens, and each fault looks through the whole text for its line. */
const MAX_DOCUMENT = 64 * 1024;
/** Errors of the variables of one document that are reported. */
const MAX_FAULTS = 5;

function tooLarge(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST' } });
}

/** Documents that are too long are refused before they are parsed. */
export function documentLimit(): Plugin {
  return {
    onParams({ params: { query } }) {
      if ((query?.length ?? 0) > MAX_DOCUMENT)
        throw tooLarge(`The document has more than ${MAX_DOCUMENT} characters: send values as variables`);
    },
  };
}

/** Parsing stops at the first token too many. What is parsed, and validated once, is charged, right or wrong. */
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
    // Nested so deep that the parser's own stack did not hold it.
    return new GraphQLError('The document cannot be parsed', { source: new Source(source), positions: [0] });
  }
}

const OPEN_TO_STRANGERS = new Set(['viewer', '__typename', '__schema', '__type']);

interface Operation {
  readonly args: ExecutionArgs;
  readonly setResultAndStopExecution: (result: ExecutionResult) => void;
}

/** Answers an operation before its cost is counted, and keeps it from being run; undefined lets it pass. */
export function beforehand(answer: (args: ExecutionArgs) => ExecutionResult | undefined): Plugin<Context> {
  const check = ({ args, setResultAndStopExecution }: Operation) => {
    const result = answer(args);
    if (result) setResultAndStopExecution(result);
  };
  return { onExecute: check, onSubscribe: check };
}

/** The root fields of a document that an anonymous caller may not read. */
export function closedFieldsOf(document: DocumentNode, operationName: string | null | undefined): FieldNode[] {
  return rootFieldsOf(document, operationName).filter(({ name }) => !OPEN_TO_STRANGERS.has(name.value));
}

/** An anonymous caller is refused before their variables are looked at, which costs more than to refuse them. */
export function anonymousLimit(): Plugin<Context> {
  return beforehand(({ contextValue, document, operationName }) => {
    if ((contextValue as Context).caller.viewer) return undefined;
    const closed = closedFieldsOf(document, operationName);
    if (closed.length === 0) return undefined;
    const keys = new Set(closed.map(({ name, alias }) => (alias ?? name).value));
    const extensions = { code: 'UNAUTHENTICATED' };
    return {
      data: null,
      errors: Array.from(keys, (key) => new GraphQLError(SIGN_IN_FIRST, { path: [key], extensions })),
    };
  });
}

/** Whether an `Accept` names the event stream, which alone subscriptions are answered as. */
export function acceptsEventStream(accept: string | null | undefined): boolean {
  return accept?.toLowerCase().includes('text/event-stream') ?? false;
}

/** Yoga streams to whoever takes anything, but a caller who did not ask for a stream is one who waits for its end. */
export function streamLimit(): Plugin<Context> {
  return beforehand(({ contextValue, document, operationName }) => {
    if (getOperationAST(document, operationName)?.operation !== 'subscription') return undefined;
    if (acceptsEventStream((contextValue as YogaInitialContext).request.headers.get('accept'))) return undefined;
    const extensions = { code: 'BAD_REQUEST', http: { status: 406 } };
    const message = 'A subscription is an event stream: send Accept: text/event-stream';
    return { errors: [new GraphQLError(message, { extensions })] };
  });
}

/** Variables that do not fit are refused at their first few faults: whoever comes after would look for all of them. */
export function variableLimit(): Plugin<Context> {
  return beforehand(({ schema, document, operationName, variableValues }) => {
    const definitions = getOperationAST(document, operationName)?.variableDefinitions ?? [];
    const given = quotableVariables(schema, definitions, variableValues ?? {});
    const { errors } = getVariableValues(schema, definitions, given, { maxErrors: MAX_FAULTS });
    return errors && { errors: errors.map(variableError) };
  });
}
