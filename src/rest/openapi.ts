import { z } from 'zod';
import about from '../../package.json' with { type: 'json' };
import {
  CUT_BODY,
  OVER_BODY_BUDGET,
  OVER_MEMORY,
  OVER_SHARE,
  TOO_LARGE_BODY,
  TOO_MANY_CHUNKS,
  UNREADABLE_BODY,
} from '../http-error.ts';
import { errorResult } from './results.ts';
import { ROWS } from './routes.ts';
import { SIGN_IN_ROUTES } from './sign-in.ts';

/** A refusal or a fault: the status, the sentence as an example, and when it comes. */
type Told = readonly [status: number, error: string, when: string];

interface DescribedRow {
  readonly method: string;
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly who: 'admin' | 'signed in' | 'anyone';
  /** What its ids are of; none for signing in. */
  readonly of?: 'cluster' | 'API key';
  readonly body?: z.ZodType;
  readonly status: number;
  readonly result?: z.ZodType;
  readonly refusals?: readonly Told[];
}

/** What any row may answer. */
const ALWAYS: readonly Told[] = [
  [401, 'Invalid API key', 'The API key is unknown, revoked, expired, disabled or malformed.'],
  [
    421,
    'this host is not served here: use localhost or an IP address, or set ALLOWED_HOSTS',
    'The request is for a host name that is not served.',
  ],
  [
    429,
    OVER_MEMORY,
    'The caller holds too much at once: request bodies, and answers that are not sent yet. `Retry-After` tells how many seconds to wait.',
  ],
  [
    429,
    OVER_SHARE,
    'Too many requests of the client address, as a trusted proxy names it, are open at once. `Retry-After` tells how many seconds to wait.',
  ],
  [500, 'Something went wrong on our side; the log has it under this request id', 'A fault of the server.'],
  [503, 'The database cannot be used right now: try again later', 'The database is not available.'],
];

const NO_STRANGERS: Told = [401, 'Invalid or expired token', 'There are no credentials, or the session is over.'];
const NOT_ADMIN: Told = [403, 'Admin role required', 'The caller is known and does not hold the role admin.'];
/** A change that no API key vouches for must come from a page of ours. */
const CROSS_SITE: Told = [
  403,
  'cross-site request refused',
  'A page of another site asks, and no API key vouches for it.',
];

/** What a row with a body may answer. */
const WITH_BODY: readonly Told[] = [
  [400, 'the body is not valid JSON', 'The body is no JSON, or no JSON object.'],
  [
    400,
    'the body nests arrays and objects deeper than 64 levels',
    'The body nests deeper than 64 levels, or has more than 20,000 keys and list items.',
  ],
  [
    400,
    TOO_MANY_CHUNKS,
    'The body comes in too many small chunks, which are less than 256 bytes each. The connection is closed.',
  ],
  [400, UNREADABLE_BODY, 'The body is not what its `Content-Encoding` says.'],
  [400, CUT_BODY, 'The connection ended before the body was whole.'],
  [413, TOO_LARGE_BODY, 'The body is larger than 4 MiB, or MAX_BODY; on the routes that anyone may ask, than 16 KiB.'],
  [
    415,
    'the body must be application/json',
    'Without an API key the body must be application/json; with one any type will do, but the encoding must be one that is known, and none on the routes that anyone may ask.',
  ],
  [
    429,
    OVER_BODY_BUDGET,
    'The bodies and GraphQL documents of the caller have used up the budget of the minute. `Retry-After` tells how many seconds to wait.',
  ],
];

const idOf = (of: string) => ({
  name: 'id',
  in: 'path',
  required: true,
  description: `The id of the ${of}.`,
  schema: { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 },
  example: 1,
});

const TAGS = { cluster: 'clusters', 'API key': 'API keys', none: 'signing in' } as const;

/** The OpenAPI 3.1 document of the REST surface, generated from its table of rows. */
export function openApiDocument() {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const row of [...ROWS, ...SIGN_IN_ROUTES] as unknown as DescribedRow[]) {
    const path = row.path.replace(':id', '{id}');
    paths[path] = { ...paths[path], [row.method]: operation(row) };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Kitestring',
      version: about.version,
      summary: about.description,
      description:
        'The routes that Kite documents for cluster management, and those that its web UI signs in by. The routes under /api/v1/admin/ need an admin. The collection answers with and without its trailing slash; unknown fields of a body are ignored, and known ones are read in any letter case. What GraphQL knows besides is at /graphql.',
      license: { name: about.license, identifier: about.license },
    },
    servers: [{ url: '/' }],
    security: [{ apiKey: [] }, { session: [] }],
    tags: [
      { name: 'clusters', description: 'The registry of Kubernetes clusters.' },
      { name: 'API keys', description: 'The keys that programs send.' },
      { name: 'signing in', description: 'How people sign in, and how the first one is made.' },
    ],
    paths,
    components: {
      schemas: { Error: jsonSchema(errorResult, 'output') },
      securitySchemes: {
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: 'An API key, `kite<id>-<secret>`, with or without `Bearer` before it.',
        },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'auth_token',
          description: 'The session of a person, which signing in begins.',
        },
      },
    },
  };
}

export type OpenApiDocument = ReturnType<typeof openApiDocument>;
export type Operation = ReturnType<typeof operation>;

export interface Media {
  readonly schema: Schema | { readonly $ref: string };
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

interface Response {
  readonly description: string;
  readonly content?: Readonly<Record<'application/json', Media>>;
}

function operation(row: DescribedRow) {
  const refusals = [
    ...(row.refusals ?? []),
    ...(row.body ? WITH_BODY : []),
    ...(row.who === 'anyone' ? [] : [NO_STRANGERS]),
    ...(row.who === 'admin' ? [NOT_ADMIN] : []),
    ...(row.method === 'get' ? [] : [CROSS_SITE]),
    ...ALWAYS,
  ];
  const byStatus = Map.groupBy(refusals, ([status]) => status);
  const errors = [...byStatus].sort(([left], [right]) => left - right);
  const responses: Record<string, Response> = {
    [row.status]: {
      description: 'Done.',
      ...(row.result ? { content: json(jsonSchema(row.result, 'output')) } : {}),
    },
    ...(row.method === 'get' && row.of ? { 304: { description: 'What `If-None-Match` names is what stands.' } } : {}),
    ...Object.fromEntries(errors.map(([status, told]) => [status, errorResponse(told)])),
  };
  return {
    operationId: row.operationId,
    tags: [TAGS[row.of ?? 'none']],
    ...(row.who === 'anyone' ? { security: [] } : {}),
    summary: row.summary,
    ...(row.description ? { description: row.description } : {}),
    ...(row.path.includes(':id') ? { parameters: [idOf(row.of ?? '')] } : {}),
    ...(row.body ? { requestBody: { required: true, content: json(jsonSchema(row.body, 'input')) } } : {}),
    responses,
  };
}

function errorResponse(told: readonly Told[]): Response {
  return {
    description: told.map(([, , when]) => when).join(' '),
    content: {
      'application/json': {
        schema: { $ref: '#/components/schemas/Error' },
        examples: Object.fromEntries(told.map(([, error], index) => [`example${index + 1}`, { value: { error } }])),
      },
    },
  };
}

function json(schema: Schema): Record<'application/json', { schema: Schema }> {
  return { 'application/json': { schema } };
}

export type Schema = z.core.JSONSchema.BaseSchema;

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Schema {
  const { $schema, ...described } = z.toJSONSchema(schema, {
    io,
    override: ({ jsonSchema: found }) => {
      if (io === 'input') admitNull(found);
    },
  });
  return described;
}

/** A field that may be absent may be null, which means the same. */
function admitNull({ properties = {}, required = [] }: Schema): void {
  for (const [name, field] of Object.entries(properties))
    if (typeof field === 'object' && typeof field.type === 'string' && !required.includes(name))
      Object.assign(field, { type: [field.type, 'null'] });
}
