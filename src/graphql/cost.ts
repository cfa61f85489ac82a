import { complexityFromQuery } from '@pothos/plugin-complexity';
import { type DocumentNode, type ExecutionArgs, GraphQLError, getOperationAST, Kind } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { LIMITS } from './builder.ts';
import { chargeOrThrow } from './charge.ts';
import type { Context } from './context.ts';
import { countIntrospections, MAX_INTROSPECTIONS } from './introspection.ts';
import { RunningWork } from './running-work.ts';
import { tooCostly } from './too-costly.ts';
import { estimateWork, MAX_STEPS, tooMuchWorkError, totalSteps, type WorkEstimate } from './work.ts';

/** Cost of introspecting the whole schema: about 10 ms, the same as five pages of 100 clusters. */
const INTROSPECTION_COST = 20_000;
/** Database steps that take as long as resolving one field. */
const STEPS_OF_FIELD = 2;

/**
 * Before a document is executed, rejects it if it is too costly, and charges its cost to the caller's budget. The
 * response cache stores the cost with the response.
 */
export function costBudget(): Plugin<Context> {
  const running = new RunningWork();
  return {
    async onExecute({ args, executeFn, setExecuteFn, setResultAndStopExecution }) {
      const estimates = await estimateWork(args);
      const rejection = charge(args, estimates);
      if (rejection) return setResultAndStopExecution({ errors: [rejection] });
      if (estimates.length > 0) setExecuteFn((args: ExecutionArgs) => running.run(args, () => executeFn(args)));
    },
    async onSubscribe({ args, setResultAndStopExecution }) {
      const rejection = charge(args, await estimateWork(args));
      if (rejection) setResultAndStopExecution({ errors: [rejection] });
    },
  };
}

/**
 * Charges a document. Returns an error if the document is too costly or the caller's budget of this minute is
 * exhausted. A cost beyond a limit is charged up to that limit, so that a rejected document is never free.
 */
function charge(args: ExecutionArgs, estimates: readonly WorkEstimate[]): GraphQLError | undefined {
  const { charge, responseFacts } = args.contextValue as Context;
  const steps = totalSteps(estimates);
  try {
    const { cost, rejection } = costOf(args);
    responseFacts.cost = cost + Math.ceil(Math.min(steps, MAX_STEPS) / STEPS_OF_FIELD);
    chargeOrThrow(charge, responseFacts.cost);
    return rejection ?? (steps > MAX_STEPS ? tooMuchWorkError(estimates) : undefined);
  } catch (error) {
    if (error instanceof GraphQLError) return error;
    throw error;
  }
}

/**
 * Returns the cost of the fields, capped at the limits, and an error if a limit is exceeded. 0 if there is no
 * operation.
 */
function costOf(args: ExecutionArgs): { cost: number; rejection?: GraphQLError } {
  const { schema, document, operationName, variableValues, contextValue } = args;
  const operation = getOperationAST(document, operationName);
  if (!operation) return { cost: 0 };
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  const singleOperation: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] };
  const measured = complexityFromQuery(singleOperation, {
    schema,
    ctx: contextValue as Context,
    variables: variableValues ?? {},
  });
  const introspections = countIntrospections(args);
  const cost =
    Math.min(measured.complexity, LIMITS.complexity) +
    Math.ceil(Math.min(introspections ?? MAX_INTROSPECTIONS, MAX_INTROSPECTIONS) * INTROSPECTION_COST);
  const reject = (reason: string) => ({ cost, rejection: tooCostly(reason, { nodes: operation }) });
  for (const kind of ['depth', 'breadth', 'complexity'] as const)
    if (measured[kind] > LIMITS[kind])
      return reject(
        `its ${kind} is ${measured[kind]}, and the maximum is ${LIMITS[kind]}. Request fewer fields or smaller pages`,
      );
  if (introspections === undefined)
    return reject(
      `its response would contain more than ${MAX_INTROSPECTIONS} times the whole schema. Request fewer introspection fields`,
    );
  return { cost };
}
