import {
  type GraphQLSchema,
  getNullableType,
  isListType,
  isObjectType,
  lexicographicSortSchema,
  printSchema,
} from 'graphql';
import { auditRefusals } from './audit-refusals.ts';
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

/** The schema of Kitestring. Importing it opens nothing: services come through the context. */
export const schema: GraphQLSchema = leanSchema(builder.toSchema());

/** The schema as `schema.graphql` holds it. */
export function printedSchema(): string {
  return `${printSchema(lexicographicSortSchema(schema))}\n`;
}

/**
 * Exposed columns are read by graphql-js itself: Pothos' resolver per column was most of a list's cost
 * (1,000 clusters with 13 fields: 37 → 7 ms). Root fields keep theirs, and with them authorization.
 */
function leanSchema(built: GraphQLSchema): GraphQLSchema {
  for (const type of Object.values(built.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('__')) continue;
    for (const [name, field] of Object.entries(type.getFields())) {
      const {
        pothosExposedField: column,
        pothosPrismaSelect: select,
        pothosOriginalResolve: resolve,
      } = field.extensions;
      // The Prisma plugin looks up, row by row, whether the columns were loaded: every root loads what is asked.
      if (selectsColumns(select)) field.resolve = resolve as typeof field.resolve & {};
      if (typeof column === 'string')
        if (column === name) delete field.resolve;
        else field.resolve = (row: Record<string, unknown>) => row[column];
      // The object that the columns are of counts them, and `readCounted` the columns under their own names.
      if (!selectsColumns(select) || isListType(getNullableType(field.type))) countField(field);
    }
  }
  const mutations = built.getMutationType();
  if (mutations) auditRefusals(mutations);
  return built;
}

function selectsColumns(select: unknown): boolean {
  return typeof select === 'object' && select !== null && Object.values(select).every((value) => value === true);
}
