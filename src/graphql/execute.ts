import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { type ExecutionResult, execute } from 'graphql';
import type { Context } from './context.ts';
import { schema } from './schema.ts';

/** Executes a generated document in process. A test validates these documents, which saves 0.25 ms per call. */
export async function executeDocument<Data, Variables extends Record<string, unknown>>(
  document: TypedDocumentNode<Data, Variables>,
  variableValues: Variables,
  contextValue: Context,
): Promise<ExecutionResult<Data>> {
  return (await execute({ schema, document, variableValues, contextValue })) as ExecutionResult<Data>;
}
