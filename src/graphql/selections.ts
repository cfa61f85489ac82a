import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLError,
  Kind,
  type SelectionSetNode,
} from 'graphql';
import { tooCostly } from './too-costly.ts';

/** Maximum fragments of a document: GraphQL.js compares each with every other, which makes 5,000 pairs. */
const MAX_FRAGMENTS = 100;
/** Maximum fields and spreads of a document with its fragments expanded. A full introspection query has about 500. */
const MAX_SELECTIONS = 5_000;
/**
 * Maximum pairs of fields that share a response name in the same place; GraphQL.js compares each pair. Permits 100
 * fragments that each select `id`.
 */
const MAX_PAIRS = 5_000;

/**
 * Returns an error if a document is too costly to validate: GraphQL.js finds conflicting fields by comparing pairs, so
 * a short document can take it a second. Runs in time linear in MAX_SELECTIONS. The document's fragments must not form
 * a cycle.
 */
export function validationCostError(document: DocumentNode): GraphQLError | undefined {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  if (fragments.size > MAX_FRAGMENTS)
    return tooCostlyToValidate(`it defines ${fragments.size} fragments, at most ${MAX_FRAGMENTS} are allowed`);
  const counter = new SelectionCounter(fragments);
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION && definition.kind !== Kind.FRAGMENT_DEFINITION) continue;
    const error = counter.count([definition.selectionSet]);
    if (error) return error;
  }
  return undefined;
}

function tooCostlyToValidate(reason: string, nodes?: FieldNode): GraphQLError {
  return tooCostly(reason, { verb: ' to validate', ...(nodes ? { nodes } : {}) });
}

class SelectionCounter {
  readonly #fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  #selections = 0;
  #pairs = 0;

  constructor(fragments: ReadonlyMap<string, FragmentDefinitionNode>) {
    this.#fragments = fragments;
  }

  /**
   * Counts the selections and pairs of selection sets with fields that merge into one response object, and of all
   * below.
   */
  count(merged: readonly SelectionSetNode[]): GraphQLError | undefined {
    const byResponseName = new Map<string, FieldNode[]>();
    for (const selectionSet of merged) this.#collect(selectionSet, byResponseName);
    if (this.#selections > MAX_SELECTIONS)
      return tooCostlyToValidate(
        `it selects more than ${MAX_SELECTIONS} fields and fragments once its fragments are spread; spread them less often`,
      );
    for (const [name, fields] of byResponseName) {
      this.#pairs += (fields.length * (fields.length - 1)) / 2;
      if (this.#pairs > MAX_PAIRS)
        return tooCostlyToValidate(
          `it selects "${name}" ${fields.length} times in one place; at most ${MAX_PAIRS} pairs of fields may share a response name, so select each field once`,
          fields[0],
        );
      const below = fields.flatMap(({ selectionSet }) => selectionSet ?? []);
      const error = below.length > 0 ? this.count(below) : undefined;
      if (error) return error;
    }
    return undefined;
  }

  #collect({ selections }: SelectionSetNode, byResponseName: Map<string, FieldNode[]>): void {
    for (const selection of selections) {
      if (++this.#selections > MAX_SELECTIONS) return;
      if (selection.kind === Kind.FIELD) {
        const name = (selection.alias ?? selection.name).value;
        const fields = byResponseName.get(name);
        if (fields) fields.push(selection);
        else byResponseName.set(name, [selection]);
        continue;
      }
      const selectionSet =
        selection.kind === Kind.INLINE_FRAGMENT
          ? selection.selectionSet
          : this.#fragments.get(selection.name.value)?.selectionSet;
      if (selectionSet) this.#collect(selectionSet, byResponseName);
    }
  }
}
