import { type DocumentNode, type FieldNode, GraphQLError, getOperationAST, OperationTypeNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { SIGN_IN_FIRST } from '../domain/access/caller.ts';
import type { Context } from './context.ts';
import { rootFieldsOf } from './document-facts.ts';
import { rejectBeforeExecution } from './limits.ts';
import { schema } from './schema.ts';

/** Whether an anonymous caller may read a root field: introspection, or a field that is declared `OPEN_TO_ANONYMOUS`. */
function isOpen(kind: OperationTypeNode, { name: { value: name } }: FieldNode): boolean {
  if (name === '__typename' || (kind === OperationTypeNode.QUERY && ['__schema', '__type'].includes(name))) return true;
  return schema.getRootType(kind)?.getFields()[name]?.extensions.openToAnonymous === true;
}

/** Returns the root fields of an operation that an anonymous caller may not read. */
export function protectedFieldsOf(document: DocumentNode, operationName: string | null | undefined): FieldNode[] {
  const kind = getOperationAST(document, operationName)?.operation ?? OperationTypeNode.QUERY;
  return rootFieldsOf(document, operationName).filter((field) => !isOpen(kind, field));
}

/** Rejects anonymous callers before their variables are checked, because checking costs more than rejecting. */
export function anonymousLimit(): Plugin<Context> {
  return rejectBeforeExecution(({ contextValue, document, operationName }) => {
    if ((contextValue as Context).caller.viewer) return undefined;
    const closed = protectedFieldsOf(document, operationName);
    if (closed.length === 0) return undefined;
    const keys = new Set(closed.map(({ name, alias }) => (alias ?? name).value));
    const extensions = { code: 'UNAUTHENTICATED' };
    return {
      data: null,
      errors: Array.from(keys, (key) => new GraphQLError(SIGN_IN_FIRST, { path: [key], extensions })),
    };
  });
}
