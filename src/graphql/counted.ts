import {
  type GraphQLField,
  type GraphQLFieldResolver,
  type GraphQLOutputType,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  getNamedType,
  isInterfaceType,
  isLeafType,
  isObjectType,
  Kind,
  type SelectionSetNode,
} from 'graphql';
import type { Context } from './context.ts';
import type { ResponseSize } from './response-size.ts';

/**
 * Bytes counted per field for its punctuation and, if its size is bounded, its value: a number, date, enum value or id.
 */
const FIELD_BYTES = 24;
/** Bytes counted for text fields without a counting resolver: the two Prometheus URLs, of at most 2,048 characters. */
const URL_BYTES = 2_048;
/** Leaf types with values of unbounded size. FIELD_BYTES includes the values of all other leaf types. */
const UNBOUNDED_TYPES: Readonly<Record<string, (size: ResponseSize, value: unknown) => void>> = {
  String: (size, value) => size.addText(String(value)),
  JSON: (size, value) => size.addJson(value),
};

const fieldsThatCount = new WeakSet<GraphQLField<unknown, unknown>>();

/**
 * Wraps a field's resolver to count the bytes of its value in `Context.responseSize`. A field of type String or JSON
 * counts its own value. A field of an object type counts the names and bounded values of the fields selected on the
 * object, so that other leaf fields do not need a wrapped resolver.
 */
export function countField(field: GraphQLField<unknown, unknown>): void {
  const { resolve, type } = field;
  if (!resolve || (isLeafType(getNamedType(type)) && !UNBOUNDED_TYPES[getNamedType(type).name])) return;
  fieldsThatCount.add(field);
  field.resolve = (source, args, context, info) => {
    const value = resolve(source, args, context, info);
    const { responseSize } = context as Context;
    if (!responseSize) return value;
    if (!(value instanceof Promise)) return countValue(responseSize, value, info);
    return value.then((resolved) => countValue(responseSize, resolved, info));
  };
}

/**
 * The default `fieldResolver` of executions: reads the property named after the field, as GraphQL.js does, and counts
 * it.
 */
export const readCounted: GraphQLFieldResolver<unknown, unknown> = (source, _args, context, info) => {
  const value = (source as Record<string, unknown>)[info.fieldName];
  const { responseSize } = context as Context;
  if (responseSize === undefined) return value;
  if (typeof value === 'string') responseSize.addText(value);
  else if (typeof value === 'object' && !(value instanceof Date)) countValue(responseSize, value, info);
  return value;
};

/** Counts a field's value and returns it. */
function countValue(size: ResponseSize, value: unknown, info: GraphQLResolveInfo): unknown {
  if (value == null) return value;
  const items = Array.isArray(value) ? value : [value];
  const type = getNamedType(info.returnType);
  if (!isLeafType(type))
    for (const node of info.fieldNodes) size.add(items.length * bytesOfFields(node.selectionSet, type, info));
  else for (const item of items) UNBOUNDED_TYPES[type.name]?.(size, item);
  return value;
}

const bytesBySelectionSet = new WeakMap<SelectionSetNode, number>();

type NamedType = ReturnType<GraphQLSchema['getType']>;

/**
 * Returns the bytes of the names and bounded values of the fields selected on one object, including those in fragments
 * and in child objects that are not counted by a resolver of their own.
 */
function bytesOfFields(selectionSet: SelectionSetNode | undefined, type: NamedType, info: GraphQLResolveInfo): number {
  if (!selectionSet) return 0;
  let bytes = bytesBySelectionSet.get(selectionSet);
  if (bytes !== undefined) return bytes;
  bytes = 0;
  for (const selection of selectionSet.selections) {
    if (selection.kind === Kind.FIELD) {
      const field = isObjectType(type) || isInterfaceType(type) ? type.getFields()[selection.name.value] : undefined;
      bytes += FIELD_BYTES + (selection.alias ?? selection.name).value.length;
      if (field && !fieldsThatCount.has(field)) bytes += bytesOfUncounted(field, selection.selectionSet, info);
      continue;
    }
    const fragment = selection.kind === Kind.INLINE_FRAGMENT ? selection : info.fragments[selection.name.value];
    const condition = fragment?.typeCondition;
    const on = condition ? info.schema.getType(condition.name.value) : type;
    bytes += bytesOfFields(fragment?.selectionSet, on, info);
  }
  bytesBySelectionSet.set(selectionSet, bytes);
  return bytes;
}

function bytesOfUncounted(
  { type, resolve }: { type: GraphQLOutputType; resolve?: unknown },
  selectionSet: SelectionSetNode | undefined,
  info: GraphQLResolveInfo,
): number {
  const named = getNamedType(type);
  if (!isLeafType(named)) return resolve ? bytesOfFields(selectionSet, named, info) : 0;
  return resolve && UNBOUNDED_TYPES[named.name] ? URL_BYTES : 0;
}
