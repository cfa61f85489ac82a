import {
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  GraphQLError,
  getOperationAST,
  getVariableValues,
  parse,
  Source,
  subscribe,
  validate,
} from 'graphql';
import { createYoga, type Plugin, type YogaInitialContext } from 'graphql-yoga';
import { STRANGER } from '../domain/access/permissions.ts';
import type { Logger } from '../log.ts';
import type { Context } from './context.ts';
import { costBudget } from './cost.ts';
import { KnownDocuments } from './documents.ts';
import { maskError } from './errors.ts';
import { faultOfVariable, withoutValue } from './fault.ts';
import { limitIntrospection } from './introspection.ts';
import { schema } from './schema.ts';
import { readsStoredFields, rootFieldOf, rootFieldsOf } from './stored.ts';

/** GraphQL documents of more tokens are refused while they are parsed; a full introspection has about 600. */
const MAX_TOKENS = 2_000;
/** Characters of a document: comments are no tokens, and each fault looks through the whole text for its line. */
const MAX_DOCUMENT = 64 * 1024;
/** Keys and list items in variables; an import names at most 5,000 contexts. */
const MAX_VALUES = 20_000;
/** Faults of one document, or of its variables, that are reported. */
const MAX_FAULTS = 5;

/** The GraphQL surface: takes a fetch Request with its context, answers with a Response. */
export function createGraphQL({ log }: { log: Logger }) {
  return createYoga<Context>({
    schema,
    graphqlEndpoint: '/graphql',
    // The server decides about origins, sizes and health before a request comes here.
    cors: false,
    maxRequestBodySize: false,
    healthCheckEndpoint: '/graphql/health-is-elsewhere',
    multipart: false,
    graphiql: false,
    landingPage: false,
    logging: false,
    batching: false,
    parserAndValidationCache: {
      documentCache: new KnownDocuments(),
      errorCache: { get: () => undefined, set: () => {} },
    },
    maskedErrors: { maskError: (error) => maskError(error, { log }) },
    plugins: [
      referenceExecutor(),
      documentLimit(),
      tokenLimit(),
      faultLimit(),
      strangerLimit(),
      streamLimit(),
      variableLimit(),
      introspectionLimit(),
      unquoteFaults(),
      nameRequest(log),
      costBudget(),
      keepStored(),
    ],
  });
}

/** GraphQL.js itself, as the REST routes do: with Yoga's executor a page takes more time, and leaves more garbage. */
function referenceExecutor(): Plugin {
  return {
    onExecute: ({ setExecuteFn }) => setExecuteFn(execute),
    onSubscribe: ({ setSubscribeFn }) => setSubscribeFn(subscribe),
  };
}

/** Whether an `Accept` names the event stream, which alone subscriptions are answered as. */
export function takesStream(accept: string | null | undefined): boolean {
  return accept?.toLowerCase().includes('text/event-stream') ?? false;
}

function keepStored(): Plugin<Context> {
  return {
    onExecute({ args: { document, operationName, contextValue } }) {
      const { answer } = contextValue as Context;
      answer.operation = rootFieldOf(document, operationName);
      return {
        onExecuteDone({ result }) {
          const whole = typeof result === 'object' && !(Symbol.asyncIterator in result) && !result.errors;
          answer.mayBeKept = whole && !answer.readsClock && readsStoredFields(document, operationName);
        },
      };
    },
  };
}

function tooLarge(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST' } });
}

function documentLimit(): Plugin {
  return {
    onParams({ params: { query, variables } }) {
      if ((query?.length ?? 0) > MAX_DOCUMENT)
        throw tooLarge(`The document has more than ${MAX_DOCUMENT} characters: send values as variables`);
      if (countValues(variables, MAX_VALUES) > MAX_VALUES)
        throw tooLarge(`The variables hold more than ${MAX_VALUES} keys and items`);
    },
  };
}

/** Counts keys and items, and stops beyond `most`; without recursion, since nesting has no limit here. */
function countValues(value: unknown, most: number): number {
  let count = 0;
  const left = [value];
  while (left.length > 0 && count <= most) {
    const next = left.pop();
    if (typeof next !== 'object' || next === null) continue;
    for (const item of Array.isArray(next) ? next : Object.values(next)) {
      if (++count > most) break;
      left.push(item);
    }
  }
  return count;
}

function faultLimit(): Plugin {
  return {
    onValidate({ setValidationFn }) {
      setValidationFn((schema, document, rules, options) =>
        validate(schema, document, rules, { ...options, maxErrors: MAX_FAULTS }),
      );
    },
  };
}

const OPEN_TO_STRANGERS = new Set(['viewer', '__typename', '__schema', '__type']);

/** What keeps an operation from being run, before its cost is counted; undefined for nothing. */
function refuseOperation(refuse: (args: ExecutionArgs) => GraphQLError[] | undefined): Plugin<Context> {
  const check = ({
    args,
    setResultAndStopExecution: stop,
  }: {
    args: ExecutionArgs;
    setResultAndStopExecution: Stop;
  }) => {
    const errors = refuse(args);
    if (errors) stop({ errors });
  };
  return { onExecute: check, onSubscribe: check };
}

type Stop = (result: ExecutionResult) => void;

/** A stranger is refused before their variables are looked at, which costs more than to refuse them. */
function strangerLimit(): Plugin<Context> {
  return refuseOperation(({ contextValue, document, operationName }) => {
    if ((contextValue as Context).caller.viewer) return undefined;
    const closed = rootFieldsOf(document, operationName).filter(({ name }) => !OPEN_TO_STRANGERS.has(name.value));
    if (closed.length === 0) return undefined;
    const keys = new Set(closed.map(({ name, alias }) => (alias ?? name).value));
    const extensions = { code: 'UNAUTHENTICATED' };
    return Array.from(keys, (key) => new GraphQLError(STRANGER, { path: [key], extensions }));
  });
}

/** Yoga streams to whoever takes anything, but a caller who did not ask for a stream is one who waits for its end. */
function streamLimit(): Plugin<Context> {
  return refuseOperation(({ contextValue, document, operationName }) => {
    if (getOperationAST(document, operationName)?.operation !== 'subscription') return undefined;
    if (takesStream((contextValue as YogaInitialContext).request.headers.get('accept'))) return undefined;
    const extensions = { code: 'BAD_REQUEST', http: { status: 406 } };
    return [new GraphQLError('A subscription is an event stream: send Accept: text/event-stream', { extensions })];
  });
}

/** Variables that do not fit are refused at their first few faults: whoever comes after would look for all of them. */
function variableLimit(): Plugin<Context> {
  return refuseOperation(({ schema, document, operationName, variableValues }) => {
    const definitions = getOperationAST(document, operationName)?.variableDefinitions ?? [];
    const { errors } = getVariableValues(schema, definitions, variableValues ?? {}, { maxErrors: MAX_FAULTS });
    return errors?.map(faultOfVariable);
  });
}

function introspectionLimit(): Plugin {
  return { onValidate: ({ addValidationRule }) => addValidationRule(limitIntrospection) };
}

/** What validation finds does not go through Yoga's masking. */
function unquoteFaults(): Plugin {
  return {
    onValidate:
      () =>
      ({ valid, result, setResult }) => {
        if (!valid) setResult(result.map((error) => withoutValue(error as GraphQLError)));
      },
  };
}

/** Masks what an execution found: Yoga's own masking, which follows, does not know the request. */
function nameRequest(log: Logger): Plugin<Context> {
  const maskFor = ({ contextValue }: ExecutionArgs) => {
    const { requestId } = (contextValue as Context).caller;
    return (error: unknown) => maskError(error, { log, requestId });
  };
  const maskWith =
    (mask: ReturnType<typeof maskFor>) =>
    ({ result, setResult }: { result: object; setResult: Stop }) => {
      const { errors } = result as ExecutionResult;
      if (!(Symbol.asyncIterator in result) && errors) setResult({ ...result, errors: errors.map(mask) });
    };
  return {
    onExecute: ({ args }) => ({ onExecuteDone: maskWith(maskFor(args)) }),
    onSubscribe({ args }) {
      const mask = maskFor(args);
      return {
        onSubscribeResult(subscribed) {
          maskWith(mask)(subscribed);
          return { onNext: maskWith(mask) };
        },
        onSubscribeError: ({ error, setError }) => setError(mask(error)),
      };
    },
  };
}

function tokenLimit(): Plugin {
  return {
    onParse({ setParseFn }) {
      setParseFn((source, options) => {
        try {
          return parse(source as string, { ...options, maxTokens: MAX_TOKENS });
        } catch (error) {
          if (error instanceof GraphQLError) throw error;
          // Nested so deep that the parser's own stack did not hold it.
          throw new GraphQLError('The document cannot be parsed', {
            source: new Source(String(source)),
            positions: [0],
          });
        }
      });
    },
  };
}
