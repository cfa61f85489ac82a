import { type ASTNode, GraphQLError } from 'graphql';

/** The refusal of a document that costs too much: HTTP 400 with code TOO_COSTLY. `reason` ends without a full stop. */
export function tooCostly(
  reason: string,
  { nodes, verb = '' }: { nodes?: ASTNode; verb?: ' to validate' | '' } = {},
): GraphQLError {
  // `spec` keeps 200 for application/json, as for any fault of a document.
  const extensions = { code: 'TOO_COSTLY', http: { status: 400, spec: true } };
  return new GraphQLError(`The document is too costly${verb}: ${reason}.`, { nodes, extensions });
}
