import type { ApiKey as ApiKeyRow } from '../../domain/access/api-keys.ts';
import { builder } from '../builder.ts';
import { asErrorResult, resultType } from '../errors.ts';
import { type CountWork, STEPS_OF_ROW } from '../work.ts';
import { ForbiddenError, InvalidInputError, NotFoundError } from './errors.ts';
import { ActionEnum } from './roles.ts';

const ApiKey = builder.objectRef<ApiKeyRow>('ApiKey').implement({
  description: 'An API key, without its secret.',
  fields: (t) => ({
    databaseId: t.exposeInt('id', { description: 'The id that its text begins with, as `kite<id>-`.' }),
    name: t.exposeString('name', { description: 'What it is for.' }),
    owner: t.exposeString('owner', {
      nullable: true,
      description: 'The person whose key it is, and with whom it ends; null: a service’s.',
    }),
    roles: t.expose('roles', {
      type: ['String'],
      description: 'Its roles; of a person’s key, those count that they hold too.',
    }),
    scopes: t.expose('scopes', {
      type: [ActionEnum],
      nullable: true,
      description: 'The actions it is narrowed to; null: all that its roles allow.',
    }),
    source: t.exposeString('source', {
      description: 'GENERATED, or CONFIGURATION for one that ADMIN_API_KEY declares.',
    }),
    disabled: t.exposeBoolean('disabled', { description: 'Whether it is refused.' }),
    weak: t.exposeBoolean('weak', { description: 'Whether it has under 128 bits, and works on loopback alone.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was made.' }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'From when on it is refused; null: never.',
    }),
    lastUsedAt: t.expose('lastUsedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was used last, to about a minute.',
    }),
  }),
});

const CreateApiKeyInput = builder.inputType('CreateApiKeyInput', {
  description: 'A key to make.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'What it is for, 1 to 253 characters.' }),
    roles: t.stringList({
      required: true,
      defaultValue: [],
      description: 'Its roles: of one’s own key, roles one holds.',
    }),
    scopes: t.field({
      type: [ActionEnum],
      description: 'Narrows it to these actions; absent: all that its roles allow.',
    }),
    expiresAt: t.field({ type: 'DateTime', description: 'From when on it is refused; absent: never.' }),
    personal: t.boolean({
      required: true,
      defaultValue: false,
      description: 'true: a key of one’s own, which ends with its person. false: a service’s, which needs an admin.',
    }),
  }),
});

const RevokeApiKeyInput = builder.inputType('RevokeApiKeyInput', {
  description: 'A key to forget.',
  fields: (t) => ({ databaseId: t.int({ required: true, description: 'The id of the key.' }) }),
});

interface Created {
  apiKey: ApiKeyRow;
  text: string;
}

const CreateApiKeySuccess = builder.objectRef<Created>('CreateApiKeySuccess').implement({
  description: 'The key was made.',
  fields: (t) => ({
    apiKey: t.expose('apiKey', { type: ApiKey, description: 'The key.' }),
    text: t.exposeString('text', { description: 'The key as `Authorization` takes it: shown this once.' }),
  }),
});

const RevokeApiKeySuccess = builder.objectRef<{ databaseId: number }>('RevokeApiKeySuccess').implement({
  description: 'The key is refused from the next request on.',
  fields: (t) => ({ revokedDatabaseId: t.exposeInt('databaseId', { description: 'The id that it had.' }) }),
});

const CreateApiKeyResult = builder.unionType('CreateApiKeyResult', {
  description: 'The answer of `createApiKey`.',
  types: [CreateApiKeySuccess, InvalidInputError, ForbiddenError],
  resolveType: resultType('CreateApiKeySuccess'),
});

const RevokeApiKeyResult = builder.unionType('RevokeApiKeyResult', {
  description: 'The answer of `revokeApiKey`.',
  types: [RevokeApiKeySuccess, NotFoundError, InvalidInputError, ForbiddenError],
  resolveType: resultType('RevokeApiKeySuccess'),
});

const input = { required: true, description: 'What to do.' } as const;

const countApiKeys: CountWork = () => (counts) => ({
  steps: STEPS_OF_ROW * counts.apiKeys,
  times: 1,
  what: `listing ${counts.apiKeys.toLocaleString('en')} API keys`,
});

builder.queryField('apiKeys', (t) =>
  t.field({
    type: [ApiKey],
    description: 'The API keys by id: all of them for whoever manages access, else one’s own.',
    complexity: { field: 1, multiplier: 50 },
    extensions: { work: countApiKeys },
    resolve: (_root, _args, { apiKeys, caller }) => apiKeys.list(caller),
  }),
);

builder.mutationFields((t) => ({
  createApiKey: t.field({
    type: CreateApiKeyResult,
    description: 'Makes an API key; its text is in this answer and nowhere else.',
    args: { input: t.arg({ type: CreateApiKeyInput, ...input }) },
    resolve: (_root, { input }, { apiKeys, caller }) => asErrorResult(() => apiKeys.create(caller, input)),
  }),
  revokeApiKey: t.field({
    type: RevokeApiKeyResult,
    description: 'Forgets an API key: any for whoever manages access, else one’s own.',
    args: { input: t.arg({ type: RevokeApiKeyInput, ...input }) },
    resolve: (_root, { input: { databaseId } }, { apiKeys, caller }) =>
      asErrorResult(async () => {
        await apiKeys.revoke(caller, databaseId);
        return { databaseId };
      }),
  }),
}));
