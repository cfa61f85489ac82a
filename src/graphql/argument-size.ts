import {
  type ASTNode,
  type DocumentNode,
  type ExecutionArgs,
  GraphQLError,
  getOperationAST,
  Kind,
  type VariableDefinitionNode,
  valueFromASTUntyped,
  visit,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Context } from './context.ts';
import { chargeOrThrow } from './cost.ts';
import { beforehand } from './limits.ts';

/** Characters that variables may add by each use after their first: the largest default body, used twice. */
const MAX_REPEATED = 4 * 1024 * 1024;
/** Characters that a list item or a key counts as, besides its own: going over one takes about as long. */
const ITEM_SIZE = 16;
/** What 1,024 characters cost at each use, the same as 1,024 bytes of a body. */
const COST_PER_1024 = 10;

/**
 * Charges the text of the variables at each use: a variable is received once, but each field that takes it as an argument
 * goes over its text. Answers TOO_COSTLY where the uses after the first are together larger than MAX_REPEATED.
 */
export function argumentLimit(): Plugin<Context> {
  return beforehand((args) => {
    const uses = sizesOfVariables(args);
    const repeated = uses.reduce((sum, use) => sum + repeatedSize(use), 0);
    if (repeated > MAX_REPEATED) return { errors: [tooLarge(uses, args)] };
    const cost = COST_PER_1024 * Math.floor(uses.reduce((sum, { size, times }) => sum + size * times, 0) / 1024);
    try {
      if (cost > 0) chargeOrThrow((args.contextValue as Context).charge, cost);
      return undefined;
    } catch (error) {
      if (error instanceof GraphQLError) return { errors: [error] };
      throw error;
    }
  });
}

interface Use {
  readonly name: string;
  /** Characters of the value, and what its items and keys count as. */
  readonly size: number;
  readonly times: number;
}

function repeatedSize({ size, times }: Use): number {
  return size * Math.max(times - 1, 0);
}

function tooLarge(uses: readonly Use[], { document, operationName }: ExecutionArgs): GraphQLError {
  const { name, size, times } = uses.reduce((left, right) => (repeatedSize(right) > repeatedSize(left) ? right : left));
  const [characters, limit] = [size, MAX_REPEATED].map((count) => count.toLocaleString('en'));
  const nodes = getOperationAST(document, operationName) ?? undefined;
  // `spec` keeps 200 for application/json, as for any fault of a document.
  const extensions = { code: 'TOO_COSTLY', http: { status: 400, spec: true } };
  return new GraphQLError(
    `The document is too costly: it uses the variable "$${name}", whose size is ${characters} characters, ${times} times; after the first use of each, variables may add at most ${limit} characters. Send a shorter value, or use it in fewer fields.`,
    { nodes, extensions },
  );
}

/** The size of each variable of the operation, and how often its fields and directives use it. */
function sizesOfVariables({ document, operationName, variableValues }: ExecutionArgs): Use[] {
  const operation = getOperationAST(document, operationName);
  const definitions = operation?.variableDefinitions ?? [];
  if (!operation || definitions.length === 0) return [];
  const times = usesOf(document, operation.name?.value ?? '', [
    operation.selectionSet,
    ...(operation.directives ?? []),
  ]);
  return definitions.map((definition) => {
    const name = definition.variable.name.value;
    return { name, size: sizeOf(givenValue(definition, variableValues)), times: times.get(name) ?? 0 };
  });
}

function givenValue(
  { variable, defaultValue }: VariableDefinitionNode,
  values: ExecutionArgs['variableValues'],
): unknown {
  const { value: name } = variable.name;
  if (values && Object.hasOwn(values, name)) return values[name];
  return defaultValue && valueFromASTUntyped(defaultValue);
}

/** The values of a request nest at most as deep as JSON_LIMITS has it, so that recursion ends. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + ITEM_SIZE + sizeOf(item), 0);
  return Object.entries(value).reduce((sum, [key, item]) => sum + ITEM_SIZE + key.length + sizeOf(item), 0);
}

type Uses = ReadonlyMap<string, number>;

const known = new WeakMap<DocumentNode, Map<string, Uses>>();

/** How often an operation uses each variable; a fragment counts as often as it is spread. Validation refuses circles. */
function usesOf(document: DocumentNode, operation: string, nodes: readonly ASTNode[]): Uses {
  const byOperation = known.get(document) ?? new Map<string, Uses>();
  known.set(document, byOperation);
  const before = byOperation.get(operation);
  if (before) return before;
  const fragments = new Map<string, ASTNode>();
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  const ofFragments = new Map<string, Uses>();
  const count = (roots: readonly ASTNode[]): Uses => {
    const uses = new Map<string, number>();
    const add = (name: string, times: number) => uses.set(name, (uses.get(name) ?? 0) + times);
    for (const root of roots)
      visit(root, {
        [Kind.VARIABLE]: ({ name }) => void add(name.value, 1),
        [Kind.FRAGMENT_SPREAD]: ({ name }) => {
          for (const [variable, times] of ofFragment(name.value)) add(variable, times);
        },
      });
    return uses;
  };
  const ofFragment = (name: string): Uses => {
    const [node, counted] = [fragments.get(name), ofFragments.get(name)];
    if (counted || !node) return counted ?? new Map();
    const uses = count([node]);
    ofFragments.set(name, uses);
    return uses;
  };
  const uses = count(nodes);
  byOperation.set(operation, uses);
  return uses;
}
