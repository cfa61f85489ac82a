import { type ExecutionArgs, type ExecutionResult, execute, subscribe } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import type { Logger } from '../log.ts';
import { argumentLimit } from './argument-size.ts';
import type { Context } from './context.ts';
import { costBudget } from './cost.ts';
import { readCounted } from './counted.ts';
import { DocumentCache } from './document-cache.ts';
import { readsStoredFields, rootFieldOf } from './document-facts.ts';
import { maskError } from './errors.ts';
import { anonymousLimit, documentLimit, parsingLimit, streamLimit, variableLimit } from './limits.ts';
import { schema } from './schema.ts';
import { boundedValidation } from './validation.ts';

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
      documentCache: new DocumentCache(),
      errorCache: { get: () => undefined, set: () => {} },
      // `boundedValidation` remembers what it has validated.
      validationCache: false,
    },
    maskedErrors: { maskError: (error) => maskError(error, { log }) },
    plugins: [
      referenceExecutor(),
      documentLimit(),
      parsingLimit(),
      boundedValidation(),
      anonymousLimit(),
      streamLimit(),
      argumentLimit(),
      variableLimit(),
      nameRequest(log),
      costBudget(),
      keepStored(),
    ],
  });
}

/**
 * GraphQL.js itself, as the REST routes do: with Yoga's executor a page takes more time, and leaves more garbage. An
 * answer that is too large is dropped as soon as it is, whole; of a stream, the event.
 */
function referenceExecutor(): Plugin<Context> {
  return {
    onExecute: ({ setExecuteFn }) => setExecuteFn(executeWithinSize),
    onSubscribe: ({ args, setSubscribeFn }) => {
      const { answerSize } = args.contextValue as Context;
      setSubscribeFn((args) => subscribe({ ...args, fieldResolver: readCounted }));
      return {
        onSubscribeResult: () => ({
          onNext: ({ setResult }) => {
            if (answerSize?.error) setResult({ data: null, errors: [answerSize.error] });
          },
        }),
      };
    },
  };
}

async function executeWithinSize(args: ExecutionArgs): Promise<ExecutionResult> {
  const { answerSize, answer } = args.contextValue as Context;
  if (!answerSize) return execute(args);
  try {
    return await execute({ ...args, fieldResolver: readCounted, abortSignal: answerSize.signal });
  } catch (error) {
    if (!answerSize.error) throw error;
    return { data: null, errors: [answerSize.error] };
  } finally {
    answer.cost = (answer.cost ?? 0) + answerSize.cost;
  }
}

function keepStored(): Plugin<Context> {
  return {
    onExecute({ args: { document, operationName, contextValue } }) {
      const { answer } = contextValue as Context;
      answer.operation = rootFieldOf(document, operationName);
      return {
        onExecuteDone({ result }) {
          const whole = typeof result === 'object' && !(Symbol.asyncIterator in result) && !result.errors;
          answer.isCacheable = whole && !answer.readsClock && readsStoredFields(document, operationName);
        },
      };
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
    ({ result, setResult }: { result: object; setResult: (result: ExecutionResult) => void }) => {
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
