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
import { chargeOrThrow } from './charge.ts';
import type { Context } from './context.ts';
import { rejectBeforeExecution } from './limits.ts';
import { tooCostly } from './too-costly.ts';

/**
 * Maximum characters that the uses of variables after their first may add in total: a body of the default maximum size,
 * used twice.
 */
const MAX_REPEATED = 4 * 1024 * 1024;
/** Characters added to the size for each list item or key: visiting one takes about as long as reading this many. */
const ITEM_SIZE = 16;
/** Cost of 1,024 characters per use, the same as the cost of 1,024 bytes of a request body. */
const COST_PER_1024 = 10;

/**
 * Charges the text of the variables once per use: a variable is received once, but each field that takes it as an
 * argument processes its text again. Rejects the document with TOO_COSTLY if the uses after the first exceed
 * MAX_REPEATED in total.
 */
export function argumentLimit(): Plugin<Context> {
  return rejectBeforeExecution((args) => {
    const uses = measureVariableUses(args);
    const repeated = uses.reduce((sum, use) => sum + repeatedSize(use), 0);
    if (repeated > MAX_REPEATED) return { errors: [variablesTooLargeError(uses, args)] };
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
  /** Characters of the value, plus ITEM_SIZE for each of its items and keys. */
  readonly size: number;
  readonly times: number;
}

function repeatedSize({ size, times }: Use): number {
  return size * Math.max(times - 1, 0);
}

function variablesTooLargeError(uses: readonly Use[], { document, operationName }: ExecutionArgs): GraphQLError {
  const { name, size, times } = uses.reduce((left, right) => (repeatedSize(right) > repeatedSize(left) ? right : left));
  const [characters, limit] = [size, MAX_REPEATED].map((count) => count.toLocaleString('en'));
  const nodes = getOperationAST(document, operationName) ?? undefined;
  return tooCostly(
    `it uses the variable "$${name}", whose size is ${characters} characters, ${times} times; after the first use of each, variables may add at most ${limit} characters. Send a shorter value, or use it in fewer fields`,
    nodes ? { nodes } : {},
  );
}

/** Returns the size of each variable of the operation and how often fields and directives use it. */
function measureVariableUses({ document, operationName, variableValues }: ExecutionArgs): Use[] {
  const operation = getOperationAST(document, operationName);
  const definitions = operation?.variableDefinitions ?? [];
  if (!operation || definitions.length === 0) return [];
  const times = countUses(document, operation.name?.value ?? '', [
    operation.selectionSet,
    ...(operation.directives ?? []),
  ]);
  return definitions.map((definition) => {
    const name = definition.variable.name.value;
    return { name, size: sizeOf(valueOfVariable(definition, variableValues)), times: times.get(name) ?? 0 };
  });
}

function valueOfVariable(
  { variable, defaultValue }: VariableDefinitionNode,
  values: ExecutionArgs['variableValues'],
): unknown {
  const { value: name } = variable.name;
  if (values && Object.hasOwn(values, name)) return values[name];
  return defaultValue && valueFromASTUntyped(defaultValue);
}

/** Recursion is safe: JSON_LIMITS bounds the nesting depth of request values. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + ITEM_SIZE + sizeOf(item), 0);
  return Object.entries(value).reduce((sum, [key, item]) => sum + ITEM_SIZE + key.length + sizeOf(item), 0);
}

type Uses = ReadonlyMap<string, number>;

const usesByDocument = new WeakMap<DocumentNode, Map<string, Uses>>();

/**
 * Counts how often an operation uses each variable; uses in a fragment count once per spread. Terminates because
 * validation rejects fragment cycles before.
 */
function countUses(document: DocumentNode, operation: string, nodes: readonly ASTNode[]): Uses {
  const byOperation = usesByDocument.get(document) ?? new Map<string, Uses>();
  usesByDocument.set(document, byOperation);
  const cached = byOperation.get(operation);
  if (cached) return cached;
  const fragments = new Map<string, ASTNode>();
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  const usesByFragment = new Map<string, Uses>();
  const count = (roots: readonly ASTNode[]): Uses => {
    const uses = new Map<string, number>();
    const add = (name: string, times: number) => uses.set(name, (uses.get(name) ?? 0) + times);
    for (const root of roots)
      visit(root, {
        [Kind.VARIABLE]: ({ name }) => void add(name.value, 1),
        [Kind.FRAGMENT_SPREAD]: ({ name }) => {
          for (const [variable, times] of countUsesInFragment(name.value)) add(variable, times);
        },
      });
    return uses;
  };
  const countUsesInFragment = (name: string): Uses => {
    const [node, counted] = [fragments.get(name), usesByFragment.get(name)];
    if (counted || !node) return counted ?? new Map();
    const uses = count([node]);
    usesByFragment.set(name, uses);
    return uses;
  };
  const uses = count(nodes);
  byOperation.set(operation, uses);
  return uses;
}
