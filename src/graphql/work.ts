import {
  type ExecutionArgs,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLError,
  type GraphQLField,
  GraphQLIncludeDirective,
  GraphQLSkipDirective,
  getArgumentValues,
  getDirectiveValues,
  getOperationAST,
  getVariableValues,
  Kind,
  type SelectionSetNode,
} from 'graphql';
import type { TableSizes } from '../domain/sizes.ts';
import type { Context } from './context.ts';
import { tooCostly } from './too-costly.ts';

/**
 * Maximum database steps of one document. A step tests one row against one requirement and takes 0.35 µs in SQLite. The
 * limit permits testing 10,000 clusters against five label requirements with both counts. SQLite runs in the main
 * thread, so 90 ms of work block all other callers for that time.
 */
export const MAX_STEPS = 250_000;

/**
 * The database work of a field: `times` × `steps`. `what` describes it in error messages, such as `listing 5 roles`.
 */
export interface WorkEstimate {
  readonly steps: number;
  readonly times: number;
  readonly what: string;
}

/**
 * Estimates the work of a root field; stored in the field's `extensions.work`. Returns undefined if the field reads a
 * bounded number of rows, otherwise a function of the table sizes. `times` returns how often a field with that name is
 * selected directly below the root field, under any alias.
 */
export type EstimateWork = (
  args: Readonly<Record<string, unknown>>,
  request: { readonly context: Context; readonly times: (name: string) => number },
) => ((counts: TableSizes) => WorkEstimate) | undefined;

/** Database steps to read a complete user, API key or role, with its related rows. */
export const STEPS_OF_ROW = 20;

/** Estimates the work of each root field, once per alias. Omits fields that read a bounded number of rows. */
export async function estimateWork(args: ExecutionArgs): Promise<WorkEstimate[]> {
  const { schema, document, operationName, variableValues, contextValue } = args;
  const operation = getOperationAST(document, operationName);
  const root = operation && schema.getRootType(operation.operation);
  if (!root) return [];
  const context = contextValue as Context;
  const { variableValues: variables } = getVariableValues(
    schema,
    operation.variableDefinitions ?? [],
    variableValues ?? {},
  );
  if (!variables) return [];
  const fragments = new Map(
    document.definitions.flatMap((one): [string, FragmentDefinitionNode][] =>
      one.kind === Kind.FRAGMENT_DEFINITION ? [[one.name.value, one]] : [],
    ),
  );
  const isSelected = (node: { directives?: FieldNode['directives'] }) =>
    getDirectiveValues(GraphQLSkipDirective, node, variables)?.if !== true &&
    getDirectiveValues(GraphQLIncludeDirective, node, variables)?.if !== false;
  /** Groups the selected fields by response name, without fields that directives skip. */
  const collect = (selectionSets: readonly SelectionSetNode[]) => {
    const fields = new Map<string, FieldNode[]>();
    const pending = [...selectionSets];
    const seen = new Set<SelectionSetNode>();
    for (let set = pending.pop(); set; set = pending.pop()) {
      if (seen.has(set)) continue;
      seen.add(set);
      for (const selection of set.selections) {
        if (!isSelected(selection)) continue;
        const more =
          selection.kind === Kind.INLINE_FRAGMENT
            ? selection.selectionSet
            : selection.kind === Kind.FRAGMENT_SPREAD
              ? fragments.get(selection.name.value)?.selectionSet
              : undefined;
        if (more) pending.push(more);
        if (selection.kind !== Kind.FIELD) continue;
        const key = (selection.alias ?? selection.name).value;
        fields.set(key, [...(fields.get(key) ?? []), selection]);
      }
    }
    return fields;
  };
  const estimates: WorkEstimate[] = [];
  for (const [node, ...same] of collect([operation.selectionSet]).values()) {
    const field: GraphQLField<unknown, unknown> | undefined = node && root.getFields()[node.name.value];
    const count = field?.extensions.work as EstimateWork | undefined;
    if (!node || !field || !count) continue;
    const below = collect([node, ...same].flatMap(({ selectionSet }) => selectionSet ?? []));
    const times = (name: string) => [...below.values()].filter(([first]) => first?.name.value === name).length;
    const fieldArgs = argumentsOf(field, node, variables);
    const work = fieldArgs && count(fieldArgs, { context, times });
    if (work) estimates.push(work(await context.sizes.of(context.counters)));
  }
  return estimates;
}

/** Sums the steps of all estimates. */
export function totalSteps(estimates: readonly WorkEstimate[]): number {
  return estimates.reduce((sum, { steps, times }) => sum + steps * times, 0);
}

/** Builds the error for a document with more than MAX_STEPS of work. Names the most expensive field. */
export function tooMuchWorkError(estimates: readonly WorkEstimate[]): GraphQLError {
  const most = estimates.reduce((left, right) => (right.steps * right.times > left.steps * left.times ? right : left));
  const all = Math.ceil(totalSteps(estimates)).toLocaleString('en');
  return tooCostly(
    `it takes ${all} database steps, and the maximum is ${MAX_STEPS.toLocaleString('en')}; most of them for ${most.what}, ${most.times} times. Request less in one document`,
  );
}

/** Returns the field's argument values; undefined if they are invalid, which the execution then reports. */
function argumentsOf(...[field, node, variables]: Parameters<typeof getArgumentValues>) {
  try {
    return getArgumentValues(field, node, variables);
  } catch {
    return undefined;
  }
}
