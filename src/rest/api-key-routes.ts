import { createApiKeyBody } from './body.ts';
import { CreateApiKeyDocument, ListApiKeysDocument, RevokeApiKeyDocument } from './operations.generated.ts';
import { createApiKeyResult, listApiKeysResult, revokeApiKeyResult } from './results.ts';
import { row } from './row.ts';

const API_KEYS = '/api/v1/admin/apikeys/';

/** The API key routes that Kite's web UI asks. */
export const API_KEY_ROWS = [
  row({
    method: 'get',
    path: API_KEYS,
    operationId: 'listApiKeys',
    summary: 'List the API keys, without their secrets',
    who: 'admin',
    of: 'API key',
    document: ListApiKeysDocument,
    variables: () => ({}),
    status: 200,
    result: listApiKeysResult,
    answer: (keys) => ({
      apiKeys: keys.map(({ databaseId, name, scopes, ...key }) => ({
        ...{ id: databaseId, username: name, ...key },
        scopes: scopes && [...scopes],
      })),
    }),
    refusals: [],
  }),
  row({
    method: 'post',
    path: API_KEYS,
    operationId: 'createApiKey',
    summary: 'Make an API key',
    description: 'The key is in this answer, and shown nowhere else. Without roles it may do nothing.',
    who: 'admin',
    of: 'API key',
    body: createApiKeyBody,
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
    answer: ({ text, apiKey: { databaseId, name, roles, expiresAt } }) => ({
      apiKey: { id: databaseId, username: name, roles: [...roles], expiresAt, key: text },
    }),
    refusals: [
      [400, 'name is required', 'A field is missing, of the wrong type or outside its limits; the sentence names it.'],
    ],
  }),
  row({
    method: 'delete',
    path: `${API_KEYS}:id`,
    operationId: 'deleteApiKey',
    summary: 'Revoke an API key: it is refused from the next request on',
    who: 'admin',
    of: 'API key',
    document: RevokeApiKeyDocument,
    variables: ({ id }) => ({ input: { databaseId: id } }),
    status: 200,
    result: revokeApiKeyResult,
    answer: () => ({ message: 'API key deleted successfully' }),
    refusals: [
      [400, 'invalid API key id', 'The id is no positive integer below 2^31.'],
      [404, 'API key not found', 'No API key has the id.'],
    ],
  }),
];
