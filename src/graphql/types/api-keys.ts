import type { ApiKey as ApiKeyRow } from '../../domain/accounts/api-key-row.ts';
import { builder } from '../builder.ts';
import { type EstimateWork, STEPS_OF_ROW } from '../work.ts';
import { NotFoundError } from './errors.ts';
import { addMutation } from './mutation.ts';
import { ActionEnum } from './roles.ts';

const ApiKey = builder.objectRef<ApiKeyRow>('ApiKey').implement({
  description: 'An API key. Its secret is never returned after creation.',
  fields: (t) => ({
    databaseId: t.exposeInt('id', {
      description: 'The id of the key, which is the number at the start of its text (`kite<id>-`).',
    }),
    name: t.exposeString('name', { description: 'The name of the key, which describes its purpose.' }),
    owner: t.exposeString('owner', {
      nullable: true,
      description:
        'The username of the owner of a personal key, which is deleted with that user; null for a service key.',
    }),
    roles: t.expose('roles', {
      type: ['String'],
      description: 'The names of its roles. A role on a personal key applies only while its owner also holds it.',
    }),
    scopes: t.expose('scopes', {
      type: [ActionEnum],
      nullable: true,
      description: 'The actions that the key is limited to; null if it may do everything that its roles allow.',
    }),
    source: t.exposeString('source', {
      description:
        'How the key was created: `CONFIGURATION` if the setting ADMIN_API_KEY declares it, otherwise `GENERATED`.',
    }),
    disabled: t.exposeBoolean('disabled', {
      description: 'Whether the key is disabled. Requests with a disabled key are rejected.',
    }),
    weak: t.exposeBoolean('weak', {
      description:
        'Whether the secret has fewer than 128 bits. A weak key is accepted only for requests over loopback.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When the key was created.' }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the key expires and requests with it are rejected; null if it never expires.',
    }),
    lastUsedAt: t.expose('lastUsedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the key was last used, accurate to about a minute; null if it was never used.',
    }),
  }),
});

const CreateApiKeyInput = builder.inputType('CreateApiKeyInput', {
  description: 'The API key to create.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description: 'The name of the key, which describes its purpose. 1 to 253 characters.',
    }),
    roles: t.stringList({
      required: true,
      defaultValue: [],
      description: 'The names of its roles. On a personal key, only roles that the caller holds are allowed.',
    }),
    scopes: t.field({
      type: [ActionEnum],
      description: 'Limits the key to these actions. If absent, it may do everything that its roles allow.',
    }),
    expiresAt: t.field({ type: 'DateTime', description: 'When the key expires. If absent, it never expires.' }),
    personal: t.boolean({
      required: true,
      defaultValue: false,
      description:
        'true: a personal key of the caller, which is deleted with their user. false: a service key, which requires ACCESS_MANAGE.',
    }),
  }),
});

const RevokeApiKeyInput = builder.inputType('RevokeApiKeyInput', {
  description: 'The API key to revoke.',
  fields: (t) => ({ databaseId: t.int({ required: true, description: 'The id of the API key.' }) }),
});

interface Created {
  apiKey: ApiKeyRow;
  text: string;
}

const CreateApiKeySuccess = builder.objectRef<Created>('CreateApiKeySuccess').implement({
  description: 'The API key was created.',
  fields: (t) => ({
    apiKey: t.expose('apiKey', { type: ApiKey, description: 'The new API key.' }),
    text: t.exposeString('text', {
      description: 'The text to send as `Authorization`. It is returned only here, once.',
    }),
  }),
});

const RevokeApiKeySuccess = builder.objectRef<{ databaseId: number }>('RevokeApiKeySuccess').implement({
  description: 'The API key was revoked. The next request with it is rejected.',
  fields: (t) => ({ revokedDatabaseId: t.exposeInt('databaseId', { description: 'The id of the revoked key.' }) }),
});

const countApiKeys: EstimateWork = () => (counts) => ({
  steps: STEPS_OF_ROW * counts.apiKeys,
  times: 1,
  what: `listing ${counts.apiKeys.toLocaleString('en')} API keys`,
});

builder.queryField('apiKeys', (t) =>
  t.field({
    type: [ApiKey],
    description:
      'The API keys, ordered by id: all keys if the viewer holds ACCESS_MANAGE for all clusters, otherwise only the viewer’s own.',
    complexity: { field: 1, multiplier: 50 },
    extensions: { work: countApiKeys },
    resolve: (_root, _args, { apiKeys, caller }) => apiKeys.list(caller),
  }),
);

addMutation('createApiKey', {
  description: 'Creates an API key. Its text is returned only in this response.',
  input: CreateApiKeyInput,
  about: 'The API key to create.',
  success: CreateApiKeySuccess,
  returns: 'the new key',
  resolve: (input, { apiKeys, caller }) => apiKeys.create(caller, input),
});

addMutation('revokeApiKey', {
  description:
    'Revokes and deletes an API key: any key if the viewer holds ACCESS_MANAGE for all clusters, otherwise only the viewer’s own.',
  input: RevokeApiKeyInput,
  about: 'The API key to revoke.',
  success: RevokeApiKeySuccess,
  returns: 'the id of the revoked key',
  errors: [NotFoundError],
  resolve: async ({ databaseId }, { apiKeys, caller }) => {
    await apiKeys.revoke(caller, databaseId);
    return { databaseId };
  },
});
