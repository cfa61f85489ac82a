import { type ASTNode, GraphQLError } from 'graphql';

/** Builds the error TOO_COSTLY (HTTP 400). `reason` must not end with a full stop. */
export function tooCostly(
  reason: string,
  { nodes, verb = '' }: { nodes?: ASTNode; verb?: ' to validate' | '' } = {},
): GraphQLError {
  // `spec` makes Yoga send 200 if the response type is application/json, as for any error in a document.
  const extensions = { code: 'TOO_COSTLY', http: { status: 400, spec: true } };
  return new GraphQLError(`The document is too costly${verb}: ${reason}.`, { nodes, extensions });
}
