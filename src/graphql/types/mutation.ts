import type { InputObjectRef, ObjectRef } from '@pothos/core';
import type { GraphQLResolveInfo } from 'graphql';
import { builder } from '../builder.ts';
import type { Context } from '../context.ts';
import { asErrorResult, type ErrorResult, resultType } from '../errors.ts';
import { ForbiddenError, InvalidInputError } from './errors.ts';

type Types = typeof builder.$inferSchemaTypes;

export interface MutationOptions<Input, Success> {
  readonly description: string;
  readonly input: InputObjectRef<Types, Input>;
  /** The description of the argument `input`. */
  readonly about: string;
  readonly success: ObjectRef<Types, Success>;
  /** The object that the success type returns, such as "the new user"; used in descriptions. */
  readonly returns: string;
  /** The error types of the result besides InvalidInputError and ForbiddenError. */
  readonly errors?: readonly ObjectRef<Types, ErrorResult>[];
  readonly complexity?: number;
  readonly resolve: (input: Input, context: Context, info: GraphQLResolveInfo) => Promise<Success>;
}

/**
 * Adds a mutation that returns a union: its success type `XSuccess`, or one of its error types. The union is named
 * `XResult`. A `DomainError` that `resolve` throws becomes the error type of its code.
 */
export function addMutation<Input extends object, Success extends object>(
  name: string,
  options: MutationOptions<Input, Success>,
): void;
export function addMutation(
  name: string,
  { description, input, about, success, returns, errors = [], complexity, resolve }: MutationOptions<object, object>,
): void {
  const result = builder.unionType(success.name.replace(/Success$/, 'Result'), {
    description: `The result of \`${name}\`: ${returns}, or an error.`,
    types: [success, ...errors, InvalidInputError, ForbiddenError],
    resolveType: resultType(success.name),
  });
  builder.mutationField(name, (t) =>
    t.field({
      type: result,
      description,
      ...(complexity === undefined ? {} : { complexity }),
      args: { input: t.arg({ type: input, required: true, description: about }) },
      resolve: (_root, { input }, context, info) => asErrorResult(() => resolve(input, context, info)),
    }),
  );
}
