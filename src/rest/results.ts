import { z } from 'zod';

const text = z.string();

const message = (example: string) => z.object({ message: text.meta({ examples: [example] }) });

// Response bodies of the REST routes. The OpenAPI document is generated from them, and the compiler checks the routes
// against them.
export const listResult = z
  .array(
    z.object({
      id: z.int32().min(1).meta({ description: 'Not reused after the cluster is deleted.' }),
      name: text,
      description: text,
      enabled: z.boolean(),
      inCluster: z.boolean(),
      isDefault: z.boolean().meta({ description: 'At most one cluster is the default.' }),
      prometheusURL: text.meta({ description: 'Empty if there is none.' }),
      config: z.literal('').meta({ description: 'Always empty: kubeconfigs are never returned.' }),
      version: text
        .optional()
        .meta({ description: 'The last version known under the current credentials. Absent if no version is known.' }),
      error: text.optional().meta({ description: 'Why the last probe of the cluster failed. Absent if it succeeded.' }),
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

/** The clusters that the caller may see. */
export const visibleResult = z.array(
  z.object({
    name: text,
    version: text.meta({ description: 'The last known version. Empty if no version is known.' }),
    isDefault: z.boolean(),
    error: text.optional().meta({ description: 'Why the last probe of the cluster failed. Absent if it succeeded.' }),
  }),
);

const keyFields = {
  id: z.int32().min(1),
  username: text.meta({ description: 'The name of the key.' }),
  roles: z.array(text),
  expiresAt: time.nullable().meta({ description: 'null if the key never expires.' }),
};

export const listApiKeysResult = z.object({
  apiKeys: z.array(
    z.object({
      ...keyFields,
      owner: text.nullable().meta({ description: 'The user who owns the key; null if it belongs to a service.' }),
      scopes: z
        .array(text)
        .nullable()
        .meta({ description: 'The actions that the key is restricted to; null if it is not restricted.' }),
      disabled: z.boolean(),
      createdAt: time,
      lastUsedAt: time.nullable(),
    }),
  ),
});

export const createApiKeyResult = z.object({
  apiKey: z.object({
    ...keyFields,
    key: text.meta({ examples: ['kite7-<secret>'], description: 'Only returned here.' }),
  }),
});

export const revokeApiKeyResult = message('API key deleted successfully');

// Response bodies of the sign-in routes.
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

/** The body of every error. */
export const errorResult = z.object({ error: text.meta({ description: 'One sentence for a human reader.' }) });
