import { z } from 'zod';

const text = z.string();

const message = (example: string) => z.object({ message: text.meta({ examples: [example] }) });

/** What the rows answer: the OpenAPI document shows it, and the compiler holds the rows to it. */
export const listResult = z
  .array(
    z.object({
      id: z.int32().min(1).meta({ description: 'Never used again after a delete.' }),
      name: text,
      description: text,
      enabled: z.boolean(),
      inCluster: z.boolean(),
      isDefault: z.boolean().meta({ description: 'At most one cluster is the default.' }),
      prometheusURL: text.meta({ description: 'Empty when there is none.' }),
      config: z.literal('').meta({ description: 'Always empty: a kubeconfig is never given out.' }),
      version: text
        .optional()
        .meta({ description: 'The last version known under the present credentials, and only when one is known.' }),
      error: text
        .optional()
        .meta({ description: 'What is wrong, and only when the last attempt to reach the cluster failed.' }),
    }),
  )
  .meta({
    examples: [
      [
        {
          id: 1,
          name: 'demo-cluster',
          description: 'staging cluster',
          enabled: true,
          inCluster: false,
          isDefault: true,
          prometheusURL: 'http://prometheus.monitoring.svc:9090',
          config: '',
          version: 'v1.31.0',
        },
      ],
    ],
  });

export const createResult = z
  .object({
    id: z.int32().min(1),
    message: text.meta({ examples: ['cluster created successfully'] }),
  })
  .meta({ examples: [{ id: 1, message: 'cluster created successfully' }] });

export const updateResult = message('cluster updated successfully');

export const deleteResult = message('cluster deleted successfully');

export const importResult = message('imported 2 clusters successfully');

const time = z.iso.datetime();

/** The clusters that one may see. */
export const visibleResult = z.array(
  z.object({
    name: text,
    version: text.meta({ description: 'The last version known; empty when none is.' }),
    isDefault: z.boolean(),
    error: text.optional().meta({ description: 'Only when the last attempt to reach the cluster failed.' }),
  }),
);

const keyFields = {
  id: z.int32().min(1),
  username: text.meta({ description: 'What the key is for.' }),
  roles: z.array(text),
  expiresAt: time.nullable().meta({ description: 'null: never.' }),
};

export const listApiKeysResult = z.object({
  apiKeys: z.array(
    z.object({
      ...keyFields,
      owner: text.nullable().meta({ description: 'The person whose key it is; null: a service’s.' }),
      scopes: z.array(text).nullable().meta({ description: 'The actions it is narrowed to; null: none.' }),
      disabled: z.boolean(),
      createdAt: time,
      lastUsedAt: time.nullable(),
    }),
  ),
});

export const createApiKeyResult = z.object({
  apiKey: z.object({ ...keyFields, key: text.meta({ examples: ['kite7-<secret>'], description: 'Shown this once.' }) }),
});

export const revokeApiKeyResult = message('API key deleted successfully');

/** What the sign-in routes answer. */
export const progressResult = z.object({ initialized: z.boolean(), step: z.int().min(0).max(2) });

export const firstUserResult = message('super user created successfully').extend({ username: text });

export const providersResult = z.object({ providers: z.array(text) });

export const authUrlResult = z.object({ auth_url: text, provider: text });

export const userResult = z.object({
  user: z.object({
    ...{ username: text, name: text, provider: text, avatar_url: text },
    roles: z.array(z.object({ name: text })),
  }),
});

export const refreshedResult = message('token refreshed successfully');

export const loggedOutResult = message('logged out successfully');

/** How every refusal and every fault is told. */
export const errorResult = z.object({ error: text.meta({ description: 'One sentence for a person.' }) });
