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
import type { AnswerSize } from './answer-size.ts';
import type { Context } from './context.ts';

/** Bytes of a field's punctuation and of a value of bounded size: a number, a date, an enum value or an id. */
const FIELD_BYTES = 24;
/** Bytes of text whose resolver does not count: the two URLs of Prometheus, of at most 2,048 characters. */
const URL_BYTES = 2_048;
/** Leaf types whose values have any size; those of all others are part of FIELD_BYTES. */
const UNBOUNDED: Readonly<Record<string, (size: AnswerSize, value: unknown) => void>> = {
  String: (size, value) => size.addText(String(value)),
  JSON: (size, value) => size.addJson(value),
};

const counting = new WeakSet<GraphQLField<unknown, unknown>>();

/**
 * Lets a field count the bytes of its value against `Context.answerSize`. Text and JSON count themselves; objects count
 * the names of the fields that are selected of them, so that other leaves keep their resolvers as they are.
 */
export function countField(field: GraphQLField<unknown, unknown>): void {
  const { resolve, type } = field;
  if (!resolve || (isLeafType(getNamedType(type)) && !UNBOUNDED[getNamedType(type).name])) return;
  counting.add(field);
  field.resolve = (source, args, context, info) => {
    const value = resolve(source, args, context, info);
    const { answerSize } = context as Context;
    if (!answerSize) return value;
    if (!(value instanceof Promise)) return counted(answerSize, value, info);
    return value.then((settled) => counted(answerSize, settled, info));
  };
}

/** Reads a column under its own name, as GraphQL.js does, and counts it: for `fieldResolver` of an execution. */
export const readCounted: GraphQLFieldResolver<unknown, unknown> = (source, _args, context, info) => {
  const value = (source as Record<string, unknown>)[info.fieldName];
  const { answerSize } = context as Context;
  if (answerSize === undefined) return value;
  if (typeof value === 'string') answerSize.addText(value);
  else if (typeof value === 'object' && !(value instanceof Date)) counted(answerSize, value, info);
  return value;
};

function counted(size: AnswerSize, value: unknown, info: GraphQLResolveInfo): unknown {
  if (value == null) return value;
  const items = Array.isArray(value) ? value : [value];
  const type = getNamedType(info.returnType);
  if (!isLeafType(type))
    for (const node of info.fieldNodes) size.add(items.length * bytesOfFields(node.selectionSet, type, info));
  else for (const item of items) UNBOUNDED[type.name]?.(size, item);
  return value;
}

const known = new WeakMap<SelectionSetNode, number>();

type Named = ReturnType<GraphQLSchema['getType']>;

/** Bytes of the names and bounded values selected of one object, those of its fragments and its only children too. */
function bytesOfFields(selectionSet: SelectionSetNode | undefined, type: Named, info: GraphQLResolveInfo): number {
  if (!selectionSet) return 0;
  let bytes = known.get(selectionSet);
  if (bytes !== undefined) return bytes;
  bytes = 0;
  for (const selection of selectionSet.selections) {
    if (selection.kind === Kind.FIELD) {
      const field = isObjectType(type) || isInterfaceType(type) ? type.getFields()[selection.name.value] : undefined;
      bytes += FIELD_BYTES + (selection.alias ?? selection.name).value.length;
      if (field && !counting.has(field)) bytes += bytesOfUncounted(field, selection.selectionSet, info);
      continue;
    }
    const fragment = selection.kind === Kind.INLINE_FRAGMENT ? selection : info.fragments[selection.name.value];
    const condition = fragment?.typeCondition;
    const on = condition ? info.schema.getType(condition.name.value) : type;
    bytes += bytesOfFields(fragment?.selectionSet, on, info);
  }
  known.set(selectionSet, bytes);
  return bytes;
}

function bytesOfUncounted(
  { type, resolve }: { type: GraphQLOutputType; resolve?: unknown },
  selectionSet: SelectionSetNode | undefined,
  info: GraphQLResolveInfo,
): number {
  const named = getNamedType(type);
  if (!isLeafType(named)) return resolve ? bytesOfFields(selectionSet, named, info) : 0;
  return resolve && UNBOUNDED[named.name] ? URL_BYTES : 0;
}
