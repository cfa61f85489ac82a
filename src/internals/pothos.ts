import type { GraphQLField, GraphQLFieldResolver } from 'graphql';

interface PothosField {
  /** The column that the field exposes; undefined for a field with a resolver of ours. */
  readonly column: string | undefined;
  /** The columns and relations that the Prisma plugin loads for the field: its `select`. */
  readonly select: Readonly<Record<string, unknown>> | undefined;
  /** The resolver without the plugins' wrappers. */
  readonly resolve: GraphQLFieldResolver<unknown, unknown> | undefined;
}

/** Describes how Pothos resolves a field of a schema that it has built. */
export function pothosField({ extensions }: GraphQLField<unknown, unknown>): PothosField {
  const { pothosExposedField: column, pothosPrismaSelect: select, pothosOriginalResolve: resolve } = extensions;
  return {
    column: typeof column === 'string' ? column : undefined,
    select: typeof select === 'object' && select !== null ? { ...select } : undefined,
    resolve: typeof resolve === 'function' ? (resolve as GraphQLFieldResolver<unknown, unknown>) : undefined,
  };
}
