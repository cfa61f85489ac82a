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

/** Characters of a string or a key that GraphQL.js may quote; every name and enum value of the schema is shorter. */
const MAX_QUOTED = 200;
/** Unknown keys of an object that are reported: GraphQL.js quotes the whole object for each of them. */
const MAX_UNKNOWN = 5;

/**
 * A copy of the variables for error messages alone: strings and keys are shortened, and of what the types do not have
 * little is kept. It is valid exactly if the variables are.
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
  // No scalar takes an object or a list, and no input object a list.
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
