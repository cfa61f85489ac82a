import { z } from 'zod';
import about from '../../package.json' with { type: 'json' };
import {
  ADDRESS_SHARE_EXCEEDED,
  BODY_BUDGET_EXCEEDED,
  INCOMPLETE_BODY,
  MEMORY_BUDGET_EXCEEDED,
  TOO_LARGE_BODY,
  TOO_MANY_CHUNKS,
  UNREADABLE_BODY,
} from '../http-error.ts';
import { errorResult } from './results.ts';
import { ROWS } from './routes.ts';
import { SIGN_IN_ROUTES } from './sign-in.ts';

/** An error response: its status, an example of its sentence, and when it is returned. */
type ErrorCase = readonly [status: number, error: string, when: string];

interface DescribedRow {
  readonly method: string;
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly access: 'admin' | 'signed in' | 'anyone';
  /** The kind of object that the route is about; absent for sign-in routes. */
  readonly objectKind?: 'cluster' | 'API key';
  readonly body?: z.ZodType;
  readonly status: number;
  readonly result?: z.ZodType;
  readonly errors?: readonly ErrorCase[];
}

/** Errors that every route can return. */
const COMMON_ERRORS: readonly ErrorCase[] = [
  [401, 'Invalid API key', 'The API key is unknown, revoked, expired, disabled or malformed.'],
  [
    421,
    'this host is not served here: use localhost or an IP address, or set ALLOWED_HOSTS',
    'The request is for a host name that is not served.',
  ],
  [
    429,
    MEMORY_BUDGET_EXCEEDED,
    'The request bodies and unsent responses of the caller take too much memory. `Retry-After` is the number of seconds to wait.',
  ],
  [
    429,
    ADDRESS_SHARE_EXCEEDED,
    'A trusted proxy forwards too many concurrent requests from the same client address. `Retry-After` is the number of seconds to wait.',
  ],
  [500, 'Something went wrong on our side; the log has it under this request id', 'An internal error of the server.'],
  [503, 'The database cannot be used right now: try again later', 'The database is not available.'],
];

const UNAUTHENTICATED: ErrorCase = [
  401,
  'Invalid or expired token',
  'The request has no credentials, or the session has expired.',
];
const NOT_ADMIN: ErrorCase = [
  403,
  'Admin role required',
  'The caller is authenticated, but does not have the role admin.',
];
/** A write without an API key must come from the same origin, because browsers send cookies along. */
const CROSS_SITE: ErrorCase = [
  403,
  'cross-site request refused',
  'The request comes from another site and has no API key.',
];

/** Errors that every route with a body can return. */
const BODY_ERRORS: readonly ErrorCase[] = [
  [400, 'the body is not valid JSON', 'The body is not JSON, or not a JSON object.'],
  [
    400,
    'the body nests arrays and objects deeper than 64 levels',
    'The body is nested deeper than 64 levels, or has more than 20,000 keys and list items.',
  ],
  [400, TOO_MANY_CHUNKS, 'The body is sent in too many chunks of less than 256 bytes. The connection is closed.'],
  [400, UNREADABLE_BODY, 'The body cannot be decoded with its `Content-Encoding`.'],
  [400, INCOMPLETE_BODY, 'The connection closed before the whole body arrived.'],
  [
    413,
    TOO_LARGE_BODY,
    'The body is larger than MAX_BODY (default: 4 MiB), or than 16 KiB on routes that need no credentials.',
  ],
  [
    415,
    'the body must be application/json',
    'The request has no API key and its body is not application/json (with an API key any content type is accepted), or its `Content-Encoding` is not supported. Routes that need no credentials support none.',
  ],
  [
    429,
    BODY_BUDGET_EXCEEDED,
    'The request bodies and GraphQL documents of the caller exceed the budget for this minute. `Retry-After` is the number of seconds to wait.',
  ],
];

const idParameter = (objectKind: string) => ({
  name: 'id',
  in: 'path',
  required: true,
  description: `The id of the ${objectKind}.`,
  schema: { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 },
  example: 1,
});

const TAGS = { cluster: 'clusters', 'API key': 'API keys', none: 'sign-in' } as const;

/** The OpenAPI 3.1 document of the REST API, generated from its tables of routes. */
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
        'The routes that Kite documents for cluster management, and the sign-in routes that its web UI uses. Routes under /api/v1/admin/ require the role admin. The trailing slash of collections is optional. Unknown fields of a body are ignored, and known fields match in any letter case. The GraphQL API at /graphql offers more.',
      license: { name: about.license, identifier: about.license },
    },
    servers: [{ url: '/' }],
    security: [{ apiKey: [] }, { session: [] }],
    tags: [
      { name: 'clusters', description: 'The registry of Kubernetes clusters.' },
      { name: 'API keys', description: 'The keys with which programs authenticate.' },
      { name: 'sign-in', description: 'Signing in and out, and creating the first user.' },
    ],
    paths,
    components: {
      schemas: { Error: jsonSchema(errorResult, 'output') },
      securitySchemes: {
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: 'An API key, `kite<id>-<secret>`, optionally preceded by `Bearer`.',
        },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'auth_token',
          description: 'The session of a user, created by signing in.',
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
  const cases = [
    ...(row.errors ?? []),
    ...(row.body ? BODY_ERRORS : []),
    ...(row.access === 'anyone' ? [] : [UNAUTHENTICATED]),
    ...(row.access === 'admin' ? [NOT_ADMIN] : []),
    ...(row.method === 'get' ? [] : [CROSS_SITE]),
    ...COMMON_ERRORS,
  ];
  const byStatus = Map.groupBy(cases, ([status]) => status);
  const errors = [...byStatus].sort(([left], [right]) => left - right);
  const responses: Record<string, Response> = {
    [row.status]: {
      description: 'Success.',
      ...(row.result ? { content: json(jsonSchema(row.result, 'output')) } : {}),
    },
    ...(row.method === 'get' && row.objectKind
      ? { 304: { description: 'The current response has an ETag that `If-None-Match` names.' } }
      : {}),
    ...Object.fromEntries(errors.map(([status, cases]) => [status, errorResponse(cases)])),
  };
  return {
    operationId: row.operationId,
    tags: [TAGS[row.objectKind ?? 'none']],
    ...(row.access === 'anyone' ? { security: [] } : {}),
    summary: row.summary,
    ...(row.description ? { description: row.description } : {}),
    ...(row.path.includes(':id') ? { parameters: [idParameter(row.objectKind ?? '')] } : {}),
    ...(row.body ? { requestBody: { required: true, content: json(jsonSchema(row.body, 'input')) } } : {}),
    responses,
  };
}

function errorResponse(cases: readonly ErrorCase[]): Response {
  return {
    description: cases.map(([, , when]) => when).join(' '),
    content: {
      'application/json': {
        schema: { $ref: '#/components/schemas/Error' },
        examples: Object.fromEntries(cases.map(([, error], index) => [`example${index + 1}`, { value: { error } }])),
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
      if (io === 'input') allowNull(found);
    },
  });
  return described;
}

/** Makes every optional field nullable: null means the same as an absent field. */
function allowNull({ properties = {}, required = [] }: Schema): void {
  for (const [name, field] of Object.entries(properties))
    if (typeof field === 'object' && typeof field.type === 'string' && !required.includes(name))
      Object.assign(field, { type: [field.type, 'null'] });
}
