import { z } from 'zod';
import { ACTIONS, actionName } from '../domain/access/action.ts';
import { isStorable, isStorableTime, UNSTORABLE } from '../domain/storable.ts';
import type { Action } from './operations.generated.ts';

/** Maximum body of an anonymous caller, in bytes. An introspection query has about 2 KiB, a sign-in less. */
export const MAX_ANONYMOUS_BODY = 16 * 1024;

const string = z.string({ error: 'must be a string' });
const kubeconfig = string.refine(isStorable, UNSTORABLE);
const flag = z.boolean({ error: 'must be true or false' });

// Patterns for the OpenAPI document only: the domain validates these fields.
const NO_NUL = '^[^\\u0000]*$';
const NO_CONTROL = '^[^\\u0000-\\u001f\\u007f-\\u009f]*$';

/** The fields of a cluster in a body. Unknown fields are ignored, as in Kite. */
const clusterFields = {
  name: string.meta({
    description: 'Unique, compared byte for byte.',
    maxLength: 253,
    pattern: NO_CONTROL,
  }),
  description: string.meta({ description: 'Free text.', maxLength: 10_000, pattern: NO_NUL }),
  config: kubeconfig.meta({
    pattern: NO_NUL,
    description:
      'The kubeconfig, as YAML or JSON. An unusable kubeconfig is stored too; the list then shows the reason as `error`.',
  }),
  prometheusURL: string.meta({
    description:
      'The URL of the Prometheus for this cluster: http or https, without user info. Empty if there is none.',
    maxLength: 2048,
    pattern: '^(https?://.+)?$',
  }),
  inCluster: flag.meta({
    description:
      'Whether to connect with the service account of the pod that Kitestring runs in. If true, `config` is ignored.',
  }),
  isDefault: flag.meta({ description: 'true makes this cluster the default instead of the current one.' }),
  enabled: flag.meta({
    description: 'Whether Kitestring connects to the cluster. New clusters are enabled if this is absent.',
  }),
};

const example = {
  name: 'demo-cluster',
  description: 'staging cluster',
  config: '<kubeconfig>',
  prometheusURL: 'http://prometheus.monitoring.svc:9090',
  inCluster: false,
  isDefault: true,
};

export const createBody = z
  .object(clusterFields)
  .partial()
  .extend({
    name: clusterFields.name.meta({ ...clusterFields.name.meta(), minLength: 1, allOf: [{ pattern: '\\S' }] }),
  })
  .meta({ examples: [example] });

export const updateBody = z
  .object({
    ...clusterFields,
    name: clusterFields.name.meta({ ...clusterFields.name.meta(), allOf: [{ pattern: '^$|\\S' }] }),
  })
  .partial()
  .meta({ examples: [{ description: 'staging cluster of the shop' }] });

export const importBody = z
  .object({
    config: kubeconfig.meta({
      description: 'The kubeconfig: each of its contexts becomes a cluster.',
      pattern: NO_NUL,
    }),
    inCluster: flag.meta({ description: 'true creates the single cluster `in-cluster` instead.' }),
  })
  .partial()
  .refine(({ config, inCluster }) => inCluster || config, 'config is required when inCluster is false')
  .meta({
    anyOf: [
      { required: ['config'], properties: { config: { type: 'string', minLength: 1 } } },
      { required: ['inCluster'], properties: { inCluster: { const: true } } },
    ],
    examples: [{ config: '<kubeconfig>', inCluster: false }],
  });

const SCOPES = ACTIONS.map(actionName) as Action[];

export const createApiKeyBody = z
  .object({
    name: string.meta({
      description: 'What the key is for.',
      maxLength: 253,
      pattern: NO_CONTROL,
      minLength: 1,
      allOf: [{ pattern: '\\S' }],
    }),
    roles: z
      .array(string, { error: 'must be a list of roles' })
      .optional()
      .meta({ description: 'No roles if absent.' }),
    scopes: z
      .array(z.enum(SCOPES, { error: `must only contain: ${SCOPES.join(', ')}` }), {
        error: 'must be a list of actions',
      })
      .optional()
      .meta({
        description: 'Restricts the key to these actions. If absent, the key may do everything that its roles allow.',
      }),
    expiresAt: z.iso
      .datetime({ offset: true, error: 'must be a time with a time zone, such as 2027-06-30T00:00:00Z' })
      .refine((text) => isStorableTime(new Date(text)), 'must be a time in the years 1 to 9999')
      .optional()
      .meta({ description: 'When the key expires. It never expires if this is absent.' }),
  })
  .meta({ examples: [{ name: 'ci', roles: ['viewer'] }] });
