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

/** Depth, fields and cost a document may have; a page of 100 clusters with every stored field costs about 4,000. */
export const LIMITS = { depth: 12, breadth: 300, complexity: 10_000 };

// A list of edges holds what the connection's own multiplier has counted already.
const counted = { complexity: { field: 0, multiplier: 1 } };

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
    nodeTypeOptions: { description: 'Anything that has a global id.' },
    idFieldOptions: { description: 'The global id: opaque, never changed, never used again.' },
    pageInfoTypeOptions: { description: 'Where a page stands in its connection.' },
    hasNextPageFieldOptions: { description: 'Whether more rows follow this page.' },
    hasPreviousPageFieldOptions: { description: 'Whether rows stand before this page.' },
    startCursorFieldOptions: { description: 'The cursor of the first row of this page.' },
    endCursorFieldOptions: { description: 'The cursor of the last row of this page: `after` for the next one.' },
    firstArgOptions: {
      description: 'How many rows from the start, 1 to 100; 50 when neither `first` nor `last` is given.',
    },
    lastArgOptions: { description: 'How many rows from the end, 1 to 100.' },
    afterArgOptions: { description: 'Rows after this cursor.' },
    beforeArgOptions: { description: 'Rows before this cursor.' },
    edgesFieldOptions: {
      ...counted,
      nullable: { list: false, items: false },
      description: 'The rows of this page, each with its cursor.',
    },
    nodesOnConnection: { ...counted, description: 'The rows of this page.' },
    nodeFieldOptions: { description: 'The row itself.', nullable: false },
    cursorFieldOptions: { description: 'Where this row stands; stays good when the row is deleted.' },
    pageInfoFieldOptions: { description: 'Where this page stands.' },
    nodeQueryOptions: false,
    nodesQueryOptions: false,
  },
});

builder.queryType({ description: 'Reads. What the viewer may not see is not there: null, or fewer rows.' });
builder.mutationType({
  description:
    'Changes. Each answers a union of its success and the errors a caller can act on; end with `... on Error`.',
});

builder.subscriptionType({ description: 'Streams, over server-sent events: POST with `Accept: text/event-stream`.' });

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;

builder.scalarType('DateTime', {
  description: 'A point in time, ISO 8601 in UTC: `2026-11-22T09:30:00.000Z`.',
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
