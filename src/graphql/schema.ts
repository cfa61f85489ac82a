import {
  type GraphQLSchema,
  getNullableType,
  isListType,
  isObjectType,
  lexicographicSortSchema,
  printSchema,
} from 'graphql';
import { pothosField } from '../internals/pothos.ts';
import { builder } from './builder.ts';
import { countField } from './counted.ts';
import './types/cluster.ts';
import './types/errors.ts';
import './types/viewer.ts';
import './types/cluster-queries.ts';
import './types/cluster-mutations.ts';
import './types/cluster-probes.ts';
import './types/cluster-changes.ts';
import './types/live.ts';
import './types/users.ts';
import './types/roles.ts';
import './types/api-keys.ts';
import './types/audit.ts';

/** The GraphQL schema. Importing it has no side effects: resolvers get their services from the context. */
export const schema: GraphQLSchema = leanSchema(builder.toSchema());

/** Returns the schema in SDL, as stored in `schema.graphql`. */
export function printedSchema(): string {
  return `${printSchema(lexicographicSortSchema(schema))}\n`;
}

/**
 * Removes Pothos' resolvers of exposed columns, so that GraphQL.js reads the columns itself: the resolvers took most of
 * the time of a list (1,000 clusters with 13 fields: 37 → 7 ms). Root fields keep their resolvers, and thereby
 * authorization.
 */
function leanSchema(built: GraphQLSchema): GraphQLSchema {
  for (const type of Object.values(built.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('__')) continue;
    for (const [name, field] of Object.entries(type.getFields())) {
      const { column, select, resolve } = pothosField(field);
      // The Prisma plugin checks for each row whether the columns were loaded. Skip that: every root field loads the
      // selected columns.
      if (selectsColumns(select) && resolve) field.resolve = resolve;
      if (column === name) delete field.resolve;
      else if (column !== undefined) field.resolve = (row) => (row as Record<string, unknown>)[column];
      // No wrapper for column fields: the field that returns the object counts them, and `readCounted` counts the text
      // of columns named like their field.
      if (!selectsColumns(select) || isListType(getNullableType(field.type))) countField(field);
    }
  }
  return built;
}

function selectsColumns(select: Readonly<Record<string, unknown>> | undefined): boolean {
  return select !== undefined && Object.values(select).every((value) => value === true);
}
