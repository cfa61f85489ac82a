import SchemaBuilder from '@pothos/core';
import ComplexityPlugin from '@pothos/plugin-complexity';
import PrismaPlugin from '@pothos/plugin-prisma';
import RelayPlugin from '@pothos/plugin-relay';
import { GraphQLError } from 'graphql';
import { isStorableTime } from '../domain/storable.ts';
import type { Context } from './context.ts';
import { decodeGlobalId, encodeGlobalId } from './global-id.ts';
import type PrismaTypes from './prisma.generated.ts';
import { getDatamodel } from './prisma.generated.ts';

/**
 * Maximum depth, field count and cost of a document. A page of 100 clusters with every stored field costs about 4,000.
 */
export const LIMITS = { depth: 12, breadth: 300, complexity: 10_000 };

// The connection's own multiplier already accounts for the rows of its edges and nodes lists.
const ALREADY_COUNTED = { complexity: { field: 0, multiplier: 1 } };

export const builder = new SchemaBuilder<{
  Context: Context;
  PrismaTypes: PrismaTypes;
  Scalars: { DateTime: { Input: Date; Output: Date }; JSON: { Input: unknown; Output: unknown } };
  DefaultFieldNullability: false;
  DefaultEdgesNullability: { list: false; items: false };
  DefaultNodeNullability: false;
}>({
  plugins: [ComplexityPlugin, RelayPlugin, PrismaPlugin],
  defaultFieldNullability: false,
  complexity: { defaultListMultiplier: 5 },
  prisma: { client: ({ database }) => database.prisma, dmmf: getDatamodel() },
  relay: {
    cursorType: 'String',
    encodeGlobalID: (type, id) => encodeGlobalId(type, String(id)),
    decodeGlobalID: decodeGlobalId,
    nodeTypeOptions: { description: 'An object with a global id.' },
    idFieldOptions: { description: 'The global id: opaque, never changes and is never reused.' },
    pageInfoTypeOptions: { description: 'The position of a page in its connection.' },
    hasNextPageFieldOptions: { description: 'Whether there are rows after this page.' },
    hasPreviousPageFieldOptions: { description: 'Whether there are rows before this page.' },
    startCursorFieldOptions: { description: 'The cursor of the first row on this page; null if the page is empty.' },
    endCursorFieldOptions: {
      description:
        'The cursor of the last row on this page, to pass as `after` for the next page; null if the page is empty.',
    },
    firstArgOptions: {
      description:
        'The number of rows to return from the start, 1 to 100. Defaults to 50 if `last` is also absent. Cannot be combined with `last`.',
    },
    lastArgOptions: {
      description: 'The number of rows to return from the end, 1 to 100. Cannot be combined with `first`.',
    },
    afterArgOptions: { description: 'Returns only rows after this cursor.' },
    beforeArgOptions: { description: 'Returns only rows before this cursor.' },
    edgesFieldOptions: {
      ...ALREADY_COUNTED,
      nullable: { list: false, items: false },
      description: 'The rows on this page, each with its cursor.',
    },
    nodesOnConnection: { ...ALREADY_COUNTED, description: 'The rows on this page.' },
    nodeFieldOptions: { description: 'The object at this position of the page.', nullable: false },
    cursorFieldOptions: {
      description: 'The cursor of this row, for `after` or `before`. It stays valid after the row is deleted.',
    },
    pageInfoFieldOptions: {
      description:
        'The position of this page: whether there are rows before and after it, and its first and last cursor.',
    },
    nodeQueryOptions: false,
    nodesQueryOptions: false,
  },
});

builder.queryType({
  description:
    'Queries. An object that the viewer may not see is treated as missing: the field is null, or the list is shorter.',
});
builder.mutationType({
  description:
    'Mutations. Each returns a union of its success type and of error types that the caller can act on. More error types may be added: end each selection with `... on Error`.',
});

builder.subscriptionType({
  description: 'Subscriptions, sent as server-sent events: use POST with `Accept: text/event-stream`.',
});

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;

builder.scalarType('DateTime', {
  description:
    'A point in time in ISO 8601 format, returned in UTC: `2026-11-22T09:30:00.000Z`. Inputs must include a time zone.',
  serialize: (value) => value.toISOString(),
  parseValue: (value) => {
    const date = typeof value === 'string' && DATE_TIME.test(value) ? new Date(value) : undefined;
    if (!date || !isStorableTime(date))
      throw new GraphQLError(
        'DateTime must be a time of the years 1 to 9999 with its zone, such as 2026-11-22T09:30:00Z',
      );
    return date;
  },
});

/**
 * The extension of a root field that an anonymous caller may read. Every other root field requires authentication, which
 * `anonymousLimit` checks before the document costs anything.
 */
export const OPEN_TO_ANONYMOUS = { openToAnonymous: true } as const;
