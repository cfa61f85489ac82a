import { complexityFromQuery } from '@pothos/plugin-complexity';
import { type DocumentNode, type ExecutionArgs, GraphQLError, getOperationAST, Kind } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { LIMITS } from './builder.ts';
import type { Context } from './context.ts';
import { introspectionsIn, MAX_INTROSPECTIONS } from './introspection.ts';
import { RunningWork, rateLimited } from './running-work.ts';
import { tooCostly } from './too-costly.ts';
import { estimateWork, MAX_STEPS, tooMuchWork, totalSteps, type WorkEstimate } from './work.ts';

/** What a whole introspection costs: some 10 ms, as much as five pages of 100 clusters. */
const INTROSPECTION_COST = 20_000;
/** What parsing and validating one token costs: the dearest document of 2,000 tokens takes 5 ms. */
export const TOKEN_COST = 5;
/** Steps of the database that take as long as one field. */
const STEPS_OF_FIELD = 2;

/**
 * Refuses documents that cost too much, and takes the cost of all others from their caller's budget, before they are
 * executed. A kept answer has its cost beside it.
 */
export function costBudget(): Plugin<Context> {
  const running = new RunningWork();
  return {
    async onExecute({ args, executeFn, setExecuteFn, setResultAndStopExecution }) {
      const works = await estimateWork(args);
      const refusal = charge(args, works);
      if (refusal) return setResultAndStopExecution({ errors: [refusal] });
      if (works.length > 0) setExecuteFn((args: ExecutionArgs) => running.run(args, () => executeFn(args)));
    },
    async onSubscribe({ args, setResultAndStopExecution }) {
      const refusal = charge(args, await estimateWork(args));
      if (refusal) setResultAndStopExecution({ errors: [refusal] });
    },
  };
}

export const OVER_BUDGET = 'Your documents of this minute have cost too much: go on in the next one, or ask for less';

/**
 * Charges a document, and returns its refusal where it costs too much or the budget of the minute does not last. What is
 * counted beyond a limit is charged up to the limit, so that a refused document is never free.
 */
function charge(args: ExecutionArgs, works: readonly WorkEstimate[]): GraphQLError | undefined {
  const { charge, answer } = args.contextValue as Context;
  const steps = totalSteps(works);
  try {
    const { cost, refusal } = costOf(args);
    answer.cost = cost + Math.ceil(Math.min(steps, MAX_STEPS) / STEPS_OF_FIELD);
    chargeOrThrow(charge, answer.cost);
    return refusal ?? (steps > MAX_STEPS ? tooMuchWork(works) : undefined);
  } catch (error) {
    if (error instanceof GraphQLError) return error;
    throw error;
  }
}

/** Takes a cost from the caller's budget of the minute; throws the error of a budget that does not last. */
export function chargeOrThrow(charge: Context['charge'], cost: number): void {
  const seconds = charge(cost);
  if (seconds !== undefined) throw rateLimited(OVER_BUDGET, seconds);
}

/** The cost of the fields, each part up to its limit, and the refusal beyond one. 0 where no operation is to be executed. */
function costOf(args: ExecutionArgs): { cost: number; refusal?: GraphQLError } {
  const { schema, document, operationName, variableValues, contextValue } = args;
  const operation = getOperationAST(document, operationName);
  if (!operation) return { cost: 0 };
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  const alone: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] };
  const counted = complexityFromQuery(alone, {
    schema,
    ctx: contextValue as Context,
    variables: variableValues ?? {},
  });
  const introspections = introspectionsIn(args);
  const cost =
    Math.min(counted.complexity, LIMITS.complexity) +
    Math.ceil(Math.min(introspections ?? MAX_INTROSPECTIONS, MAX_INTROSPECTIONS) * INTROSPECTION_COST);
  const refuse = (reason: string) => ({ cost, refusal: tooCostly(reason, { nodes: operation }) });
  for (const kind of ['depth', 'breadth', 'complexity'] as const)
    if (counted[kind] > LIMITS[kind])
      return refuse(`${kind} ${counted[kind]} of at most ${LIMITS[kind]}. Ask for fewer fields, or for smaller pages`);
  if (introspections === undefined)
    return refuse(
      `its answer would be more than ${MAX_INTROSPECTIONS} times the whole schema. Ask for fewer fields of it`,
    );
  return { cost };
}
