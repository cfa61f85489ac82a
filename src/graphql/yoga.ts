import { type ExecutionArgs, type ExecutionResult, execute, subscribe } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import { yieldWhenBusy } from '../event-loop.ts';
import type { Logger } from '../log.ts';
import { anonymousLimit } from './anonymous.ts';
import { argumentLimit } from './argument-size.ts';
import type { Context } from './context.ts';
import { costBudget } from './cost.ts';
import { readCounted } from './counted.ts';
import { createDocumentCache } from './document-cache.ts';
import { readsStoredFields, rootFieldOf } from './document-facts.ts';
import { maskError } from './errors.ts';
import { documentLimit, knownParameters, parsingLimit, streamLimit, variableLimit } from './limits.ts';
import { schema } from './schema.ts';
import { boundedValidation } from './validation.ts';

/** Creates the GraphQL server, which handles a fetch `Request` with its context and returns a `Response`. */
export function createGraphQL({ log }: { log: Logger }) {
  return createYoga<Context>({
    schema,
    graphqlEndpoint: '/graphql',
    // The HTTP server handles origins, body sizes and health checks before it passes a request to Yoga.
    cors: false,
    maxRequestBodySize: false,
    healthCheckEndpoint: '/graphql/health-is-elsewhere',
    multipart: false,
    graphiql: false,
    landingPage: false,
    logging: false,
    batching: false,
    parserAndValidationCache: {
      documentCache: createDocumentCache(),
      errorCache: { get: () => undefined, set: () => {} },
      // `boundedValidation` has its own cache.
      validationCache: false,
    },
    maskedErrors: { maskError: (error) => maskError(error, { log }) },
    plugins: [
      referenceExecutor(),
      knownParameters(),
      documentLimit(),
      parsingLimit(),
      boundedValidation(),
      anonymousLimit(),
      streamLimit(),
      argumentLimit(),
      variableLimit(),
      maskWithRequestId(log),
      costBudget(),
      describeResponse(),
    ],
  });
}

/**
 * Executes with GraphQL.js, like the REST routes: Yoga's executor takes more time and creates more garbage for a page.
 * As soon as a response is too large, the complete response is dropped; of a stream, only the current event.
 */
function referenceExecutor(): Plugin<Context> {
  return {
    onExecute: ({ setExecuteFn }) => setExecuteFn(executeWithinSize),
    onSubscribe: ({ args, setSubscribeFn }) => {
      const { responseSize } = args.contextValue as Context;
      setSubscribeFn((args) => subscribe({ ...args, fieldResolver: readCounted }));
      return {
        onSubscribeResult: () => ({
          onNext: ({ setResult }) => {
            if (responseSize?.error) setResult({ data: null, errors: [responseSize.error] });
          },
        }),
      };
    },
  };
}

async function executeWithinSize(args: ExecutionArgs): Promise<ExecutionResult> {
  const { responseSize, responseFacts } = args.contextValue as Context;
  if (!responseSize) return execute(args);
  // Parsing, validation and the variables may have used up this iteration.
  await yieldWhenBusy();
  try {
    return await execute({ ...args, fieldResolver: readCounted, abortSignal: responseSize.signal });
  } catch (error) {
    if (!responseSize.error) throw error;
    return { data: null, errors: [responseSize.error] };
  } finally {
    responseFacts.cost = (responseFacts.cost ?? 0) + responseSize.cost;
  }
}

/** Records the operation's name and whether the response can be cached, for the metrics and the response cache. */
function describeResponse(): Plugin<Context> {
  return {
    onExecute({ args: { document, operationName, contextValue } }) {
      const { responseFacts } = contextValue as Context;
      responseFacts.operation = rootFieldOf(document, operationName);
      return {
        onExecuteDone({ result }) {
          const isComplete = typeof result === 'object' && !(Symbol.asyncIterator in result) && !result.errors;
          responseFacts.isCacheable =
            isComplete && !responseFacts.readsClock && readsStoredFields(document, operationName);
        },
      };
    },
  };
}

/** Masks execution errors with the request id. Yoga's own masking, which runs later, does not know the request. */
function maskWithRequestId(log: Logger): Plugin<Context> {
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
