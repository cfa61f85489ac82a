import { GraphQLError } from 'graphql';
import { placeOfVariable, sentenceWithoutValue } from '../internals/graphql-messages.ts';

/** Copies a validation error without the value that the client sent. */
export function withoutQuotedValue({ message, nodes }: GraphQLError): GraphQLError {
  return new GraphQLError(sentenceWithoutValue(message), { nodes });
}

/**
 * Describes an invalid variable: its name, the path inside it and the problem, without the value that the client sent.
 */
export function variableError({ message, originalError, nodes }: GraphQLError): GraphQLError {
  const { name, at } = placeOfVariable(message);
  const place = at === undefined ? '' : ` at "${name}${at}"`;
  const sentence = sentenceWithoutValue(originalError?.message ?? message);
  return new GraphQLError(name === undefined ? sentence : `Variable "$${name}" is not valid${place}: ${sentence}`, {
    nodes,
    // `spec` makes Yoga send 200 if the response type is application/json, as for any error in a document.
    extensions: { code: 'BAD_REQUEST', http: { status: 400, spec: true } },
  });
}
