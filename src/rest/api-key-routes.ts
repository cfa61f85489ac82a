import { createApiKeyBody } from './body.ts';
import { CreateApiKeyDocument, ListApiKeysDocument, RevokeApiKeyDocument } from './operations.generated.ts';
import { createApiKeyResult, listApiKeysResult, revokeApiKeyResult } from './results.ts';
import { row } from './row.ts';

const API_KEYS = '/api/v1/admin/apikeys/';

/** The API key routes that Kite's web UI calls. */
export const API_KEY_ROWS = [
  row({
    method: 'get',
    path: API_KEYS,
    operationId: 'listApiKeys',
    summary: 'List the API keys, without their secrets',
    access: 'admin',
    objectKind: 'API key',
    document: ListApiKeysDocument,
    variables: () => ({}),
    status: 200,
    result: listApiKeysResult,
    toBody: (keys) => ({
      apiKeys: keys.map(({ databaseId, name, scopes, ...key }) => ({
        ...{ id: databaseId, username: name, ...key },
        scopes: scopes && [...scopes],
      })),
    }),
    errors: [],
  }),
  row({
    method: 'post',
    path: API_KEYS,
    operationId: 'createApiKey',
    summary: 'Create an API key',
    description: 'This response is the only one that contains the key. A key without roles has no permissions.',
    access: 'admin',
    objectKind: 'API key',
    body: createApiKeyBody,
    action: 'api-key.create',
    document: CreateApiKeyDocument,
    variables: ({ body: { name, roles = [], scopes, expiresAt } }) => ({
      input: {
        name,
        roles,
        ...(scopes ? { scopes } : {}),
        ...(expiresAt ? { expiresAt: new Date(expiresAt).toISOString() } : {}),
      },
    }),
    status: 201,
    result: createApiKeyResult,
    toBody: ({ text, apiKey: { databaseId, name, roles, expiresAt } }) => ({
      apiKey: { id: databaseId, username: name, roles: [...roles], expiresAt, key: text },
    }),
    errors: [
      [
        400,
        'name is required',
        'A field is missing, has the wrong type or exceeds a limit. The error names the field.',
      ],
    ],
  }),
  row({
    method: 'delete',
    path: `${API_KEYS}:id`,
    operationId: 'deleteApiKey',
    summary: 'Revoke an API key: requests with it fail from now on',
    access: 'admin',
    objectKind: 'API key',
    action: 'api-key.revoke',
    document: RevokeApiKeyDocument,
    variables: ({ id }) => ({ input: { databaseId: id } }),
    status: 200,
    result: revokeApiKeyResult,
    toBody: () => ({ message: 'API key deleted successfully' }),
    errors: [
      [400, 'invalid API key id', 'The id is not a positive integer below 2^31.'],
      [404, 'API key not found', 'No API key has this id.'],
    ],
  }),
];
