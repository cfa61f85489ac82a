import { z } from 'zod';
import { ACTIONS, actionName } from '../domain/access/permissions.ts';
import { isStorable, isStorableTime, UNSTORABLE } from '../domain/storable.ts';
import type { Action } from './operations.generated.ts';

/** Items of a list in a body: the longest, of roles, has at most 100. */
const MAX_ITEMS = 100;
/** Problems that one sentence tells. */
const MAX_TOLD = 5;

/** Bytes that anyone may send without being known: an introspection has some 2 KiB, a sign-in less. */
export const MAX_ANONYMOUS_BODY = 16 * 1024;

const string = z.string({ error: 'must be a string' });
const kubeconfig = string.refine(isStorable, UNSTORABLE);
const flag = z.boolean({ error: 'must be true or false' });

// What the domain refuses, as the OpenAPI document tells it.
const NO_NUL = '^[^\\u0000]*$';
const NO_CONTROL = '^[^\\u0000-\\u001f\\u007f-\\u009f]*$';

/** What a cluster's body may hold; unknown fields are passed over, as Kite does. */
const clusterFields = {
  name: string.meta({
    description: 'Unique, compared byte for byte.',
    maxLength: 253,
    pattern: NO_CONTROL,
  }),
  description: string.meta({ description: 'Free text.', maxLength: 10_000, pattern: NO_NUL }),
  config: kubeconfig.meta({
    pattern: NO_NUL,
    description: 'The kubeconfig, YAML or JSON. One that cannot be used is stored, and the list says why.',
  }),
  prometheusURL: string.meta({
    description: 'Where its Prometheus answers: http or https, no user info; empty for none.',
    maxLength: 2048,
    pattern: '^(https?://.+)?$',
  }),
  inCluster: flag.meta({
    description: 'By the service account of the pod that Kitestring runs in; `config` is then passed over.',
  }),
  isDefault: flag.meta({ description: 'true takes the default from the cluster that has it.' }),
  enabled: flag.meta({ description: 'Whether anything is asked of the cluster; true when absent.' }),
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
  .meta({ examples: [{ description: 'the staging cluster of the shop' }] });

export const importBody = z
  .object({
    config: kubeconfig.meta({
      description: 'The kubeconfig: each of its contexts becomes a cluster.',
      pattern: NO_NUL,
    }),
    inCluster: flag.meta({ description: 'Makes the one cluster `in-cluster` instead.' }),
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
    roles: z.array(string, { error: 'must be a list of roles' }).optional().meta({ description: 'None when absent.' }),
    scopes: z
      .array(z.enum(SCOPES, { error: `must be some of ${SCOPES.join(', ')}` }), { error: 'must be a list of actions' })
      .optional()
      .meta({ description: 'The actions it is narrowed to; all that its roles hold when absent.' }),
    expiresAt: z.iso
      .datetime({ offset: true, error: 'must be a time with its zone, such as 2027-06-30T00:00:00Z' })
      .refine((text) => isStorableTime(new Date(text)), 'must be a time of the years 1 to 9999')
      .optional()
      .meta({ description: 'From when on it is refused; never when absent.' }),
  })
  .meta({ examples: [{ name: 'ci', roles: ['viewer'] }] });

type Fields = z.ZodObject;

/** Reads a body: known fields in any letter case (the exact spelling wins), null like absent, unknown ones dropped. */
export function parseFields<Schema extends Fields>(
  schema: Schema,
  body: unknown,
): { value: z.output<Schema>; problem?: never } | { value?: never; problem: string } {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return { problem: 'the body must be a JSON object' };
  const fields = new Map(Object.keys(schema.shape).map((field) => [field.toLowerCase(), field]));
  const found = new Map<string, unknown>();
  const exact = new Set<string>();
  // One pass over the keys, which may be many and unknown.
  for (const [key, value] of Object.entries(body)) {
    const field = fields.get(key.toLowerCase());
    if (field === undefined || exact.has(field)) continue;
    if (key === field) exact.add(field);
    found.set(field, value);
  }
  const known = [...found].filter(([, value]) => value != null);
  const long = known.find(([, value]) => Array.isArray(value) && value.length > MAX_ITEMS);
  if (long) return { problem: `${long[0]} must be a list of at most ${MAX_ITEMS} items` };
  const result = schema.safeParse(Object.fromEntries(known));
  if (result.success) return { value: result.data };
  const { issues } = result.error;
  const problems = issues.slice(0, MAX_TOLD).map(({ code, path, message }) => {
    const field = path.join('.');
    const isAbsent = path.length === 1 && !known.some(([name]) => name === field);
    if (code === 'invalid_type' && isAbsent) return `${field} is required`;
    return path.length > 0 ? `${field} ${message}` : message;
  });
  if (issues.length > MAX_TOLD) problems.push(`and ${issues.length - MAX_TOLD} more problems`);
  return { problem: problems.join('; ') };
}
