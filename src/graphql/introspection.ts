import { type ASTVisitor, GraphQLError, getNullableType, isListType, type ValidationContext } from 'graphql';

/** How often a document may ask for one list of the schema; the usual introspection asks for `args` twice. */
const MAX_LISTS = 2;

/**
 * Refuses documents that ask for the schema over and over under aliases: anybody may ask, and no resolver of ours counts
 * what introspection costs.
 */
export function limitIntrospection(context: ValidationContext): ASTVisitor {
  const asked = new Map<string, number>();
  return {
    Field(node) {
      const { value: name } = node.name;
      const isList = context.getParentType()?.name.startsWith('__') && isListType(getNullableType(context.getType()));
      if (name !== '__schema' && !isList) return;
      const times = (asked.get(name) ?? 0) + 1;
      asked.set(name, times);
      if (times === MAX_LISTS + 1)
        context.reportError(new GraphQLError(`The document asks for ${name} too often`, { nodes: node }));
    },
  };
}
