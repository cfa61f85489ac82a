import { complexityFromQuery } from '@pothos/plugin-complexity';
import { type DocumentNode, type ExecutionArgs, GraphQLError, getOperationAST, Kind } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { LIMITS } from './builder.ts';
import type { Context } from './context.ts';

/** Takes what a document costs from its caller's budget before it is executed. A kept answer costs nothing, and never comes here. */
export function costBudget(): Plugin<Context> {
  return {
    onExecute({ args, setResultAndStopExecution }) {
      const refusal = charge(args);
      if (refusal) setResultAndStopExecution({ errors: [refusal] });
    },
    onSubscribe({ args, setResultAndStopExecution }) {
      const refusal = charge(args);
      if (refusal) setResultAndStopExecution({ errors: [refusal] });
    },
  };
}

function charge(args: ExecutionArgs): GraphQLError | undefined {
  const { charge } = args.contextValue as Context;
  const seconds = charge(costOf(args));
  if (seconds === undefined) return undefined;
  return new GraphQLError('Your documents of this minute have cost too much: go on in the next one, or ask for less', {
    extensions: {
      code: 'RATE_LIMITED',
      http: { status: 429, headers: { 'Retry-After': String(seconds) } },
    },
  });
}

/** 0 for what the execution refuses by itself. */
function costOf({ schema, document, operationName, variableValues, contextValue }: ExecutionArgs): number {
  const operation = getOperationAST(document, operationName);
  if (!operation) return 0;
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  const alone: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] };
  try {
    const { complexity } = complexityFromQuery(alone, {
      schema,
      ctx: contextValue as Context,
      variables: variableValues ?? {},
    });
    return complexity > LIMITS.complexity ? 0 : complexity;
  } catch {
    return 0;
  }
}
