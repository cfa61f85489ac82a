import { complexityFromQuery } from '@pothos/plugin-complexity';
import { type DocumentNode, type ExecutionArgs, GraphQLError, getOperationAST, Kind } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { LIMITS } from './builder.ts';
import type { Context } from './context.ts';
import { rootFieldsOf } from './stored.ts';

/** What a look at the whole schema costs: some 10 ms, as much as five pages of 100 clusters. */
const INTROSPECTION_COST = 20_000;

/** Takes what a document costs from its caller's budget before it is executed. An answer that is kept has its cost beside it. */
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

export const OVER_BUDGET = 'Your documents of this minute have cost too much: go on in the next one, or ask for less';

function charge(args: ExecutionArgs): GraphQLError | undefined {
  const { charge, answer } = args.contextValue as Context;
  answer.cost = costOf(args);
  const seconds = charge(answer.cost);
  if (seconds === undefined) return undefined;
  return new GraphQLError(OVER_BUDGET, {
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
    const isAboutSchema = rootFieldsOf(document, operationName).some(({ name }) => name.value.startsWith('__s'));
    return complexity > LIMITS.complexity ? 0 : complexity + (isAboutSchema ? INTROSPECTION_COST : 0);
  } catch {
    return 0;
  }
}
