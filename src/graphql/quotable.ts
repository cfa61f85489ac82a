import {
  type GraphQLInputType,
  type GraphQLSchema,
  isInputObjectType,
  isInputType,
  isListType,
  isNonNullType,
  typeFromAST,
  type VariableDefinitionNode,
} from 'graphql';

/**
 * Maximum characters of a string or key that GraphQL.js may quote. All names and enum values of the schema are shorter.
 */
const MAX_QUOTED = 200;
/** Maximum number of unknown keys reported per object: GraphQL.js quotes the whole object for each of them. */
const MAX_UNKNOWN = 5;

/**
 * Copies the variables for use in error messages only. Strings and keys are shortened, and most values that the types
 * do not declare are removed. The copy is valid if and only if the original is.
 */
export function quotableVariables(
  schema: GraphQLSchema,
  definitions: readonly VariableDefinitionNode[],
  values: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const copy: Record<string, unknown> = Object.create(null);
  for (const { variable, type: node } of definitions) {
    const type = typeFromAST(schema, node);
    const { value: name } = variable.name;
    if (isInputType(type) && Object.hasOwn(values, name)) copy[name] = shortenForErrors(values[name], type);
  }
  return copy;
}

function shortenForErrors(value: unknown, type: GraphQLInputType): unknown {
  if (isNonNullType(type)) return shortenForErrors(value, type.ofType);
  if (typeof value === 'string') return value.slice(0, MAX_QUOTED);
  if (typeof value !== 'object' || value === null) return value;
  if (isListType(type))
    return Array.isArray(value)
      ? value.map((item) => shortenForErrors(item, type.ofType))
      : shortenForErrors(value, type.ofType);
  // No input scalar accepts an object or a list, and no input object accepts a list, so an empty one is equally
  // invalid.
  if (Array.isArray(value)) return [];
  if (!isInputObjectType(type)) return {};
  const fields = type.getFields();
  const copy: Record<string, unknown> = Object.create(null);
  let unknown = 0;
  for (const [key, item] of Object.entries(value)) {
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (field) copy[key] = shortenForErrors(item, field.type);
    else if (unknown++ < MAX_UNKNOWN) copy[key.slice(0, MAX_QUOTED)] = null;
  }
  return copy;
}
