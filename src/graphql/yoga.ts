import { GraphQLError, parse, Source } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import type { Logger } from '../log.ts';
import type { Context } from './context.ts';
import { costBudget } from './cost.ts';
import { maskError } from './errors.ts';
import { withoutValue } from './fault.ts';
import { limitIntrospection } from './introspection.ts';
import { schema } from './schema.ts';
import { readsStoredFields, rootFieldOf } from './stored.ts';

/** GraphQL documents of more tokens are refused while they are parsed; a full introspection has about 600. */
const MAX_TOKENS = 2_000;

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
    maskedErrors: { maskError: (error) => maskError(error, { log }) },
    plugins: [tokenLimit(), introspectionLimit(), unquoteFaults(), nameRequest(log), costBudget(), keepStored()],
  });
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
  return {
    onExecute({ args: { contextValue } }) {
      const { requestId } = (contextValue as Context).caller;
      return {
        onExecuteDone({ result, setResult }) {
          if (Symbol.asyncIterator in result || !result.errors) return;
          setResult({ ...result, errors: result.errors.map((error) => maskError(error, { log, requestId })) });
        },
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
