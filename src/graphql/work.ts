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
 * Steps that one document may let the database go through (a step: one row against one requirement, 0.35 µs in SQLite):
 * 10,000 clusters against five label requirements with both counts. SQLite answers in the main thread, which 90 ms of work
 * keep from everybody else.
 */
export const MAX_STEPS = 250_000;

/** The work of a field: how often the database goes through how many steps, and what they are, for an error's sentence. */
export interface WorkEstimate {
  readonly steps: number;
  readonly times: number;
  readonly what: string;
}

/**
 * TableSizes the work of a root field, as `extensions.work` of the field; undefined where it reads a bounded number of rows.
 * `times` tells how often a field below it is computed.
 */
export type CountWork = (
  args: Readonly<Record<string, unknown>>,
  asked: { readonly context: Context; readonly times: (name: string) => number },
) => ((counts: TableSizes) => WorkEstimate) | undefined;

/** Steps for a row that is read whole, with what belongs to it: a user, an API key or a role. */
export const STEPS_OF_ROW = 20;

/** The work of each root field, under every alias; nothing of fields that read a bounded number of rows. */
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
  /** The fields that are computed, by the name of each in the response. */
  const collect = (selectionSets: readonly SelectionSetNode[]) => {
    const fields = new Map<string, FieldNode[]>();
    const left = [...selectionSets];
    const seen = new Set<SelectionSetNode>();
    for (let set = left.pop(); set; set = left.pop()) {
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
        if (more) left.push(more);
        if (selection.kind !== Kind.FIELD) continue;
        const key = (selection.alias ?? selection.name).value;
        fields.set(key, [...(fields.get(key) ?? []), selection]);
      }
    }
    return fields;
  };
  const works: WorkEstimate[] = [];
  for (const [node, ...same] of collect([operation.selectionSet]).values()) {
    const field: GraphQLField<unknown, unknown> | undefined = node && root.getFields()[node.name.value];
    const count = field?.extensions.work as CountWork | undefined;
    if (!node || !field || !count) continue;
    const below = collect([node, ...same].flatMap(({ selectionSet }) => selectionSet ?? []));
    const times = (name: string) => [...below.values()].filter(([first]) => first?.name.value === name).length;
    const given = argumentsOf(field, node, variables);
    const work = given && count(given, { context, times });
    if (work) works.push(work(await context.sizes.of(context.counters)));
  }
  return works;
}

/** The steps of all works together. */
export function totalSteps(works: readonly WorkEstimate[]): number {
  return works.reduce((sum, { steps, times }) => sum + steps * times, 0);
}

/** The refusal of a document whose work is beyond MAX_STEPS: it names the field that takes the most. */
export function tooMuchWork(works: readonly WorkEstimate[]): GraphQLError {
  const most = works.reduce((left, right) => (right.steps * right.times > left.steps * left.times ? right : left));
  const all = Math.ceil(totalSteps(works)).toLocaleString('en');
  return tooCostly(
    `it takes ${all} steps in the database, of at most ${MAX_STEPS.toLocaleString('en')}; the most for ${most.what}, ${most.times} times. Ask for less in one document`,
  );
}

/** Undefined for arguments that the field itself refuses. */
function argumentsOf(...[field, node, variables]: Parameters<typeof getArgumentValues>) {
  try {
    return getArgumentValues(field, node, variables);
  } catch {
    return undefined;
  }
}
