import { z } from 'zod';
import { type AddressPolicy, hostProblem } from '../../kubernetes/transport/address.ts';
import { listWithin, textWithin } from '../bounded.ts';
import { labelKeyProblem, labelNumber, labelValueProblem } from '../label-selector.ts';
import { MAX_NAME } from '../storable.ts';
import { CANNOT_BE_NULL } from '../validation.ts';

export interface Label {
  readonly key: string;
  readonly value: string;
}

const MAX_LABELS = 64;
const CONTROL = /\p{Cc}/u;
const text = (maxLength: number) =>
  textWithin(maxLength)
    .refine((value) => value.isWellFormed(), 'must not contain a lone surrogate')
    .refine((value) => !value.includes('\0'), 'must not contain a NUL character');

const name = text(MAX_NAME)
  .refine((value) => value.trim() !== '', 'is required and must not be blank')
  .refine((value) => !CONTROL.test(value), 'must not contain control characters');

const labels = listWithin(z.array(z.object({ key: z.string(), value: z.string() })), MAX_LABELS, 'labels').superRefine(
  (list, context) => {
    const seen = new Set<string>();
    list.forEach(({ key, value }, index) => {
      const issue = (field: string, message: string | undefined) =>
        message && context.addIssue({ code: 'custom', path: [index, field], message });
      issue('key', labelKeyProblem(key) ?? (seen.has(key) ? 'is a duplicate key' : undefined));
      issue('value', labelValueProblem(value));
      seen.add(key);
    });
  },
);

const flag = z.boolean({ error: (issue) => (issue.input === null ? CANNOT_BE_NULL : 'must be true or false') });

function prometheusURL(policy: AddressPolicy) {
  return text(2048).superRefine((value, context) => {
    const problem = value === '' ? undefined : prometheusProblem(value, policy);
    if (problem) context.addIssue({ code: 'custom', message: problem });
  });
}

function prometheusProblem(value: string, policy: AddressPolicy): string | undefined {
  const url = URL.parse(value);
  if (!url || !/^https?:\/\//i.test(value)) return 'must be an http or https URL, such as http://prometheus:9090';
  if (CONTROL.test(value) || /\s/.test(value)) return 'must not contain spaces or control characters';
  // Test the text, because a parsed URL does not show an empty user (`http://@host`).
  if (/^https?:[/\\]*[^/\\?#]*@/i.test(value)) return 'must not contain a user or password';
  return hostProblem(url.hostname, policy);
}

/** The schemas of the fields that a caller may write: for create (name required) and for update (all optional). */
export function clusterFields(policy: AddressPolicy) {
  const common = {
    description: text(10_000)
      .nullable()
      .transform((value) => value ?? '')
      .optional(),
    labels: labels
      .nullable()
      .transform((value) => value ?? [])
      .optional(),
    prometheusURL: prometheusURL(policy)
      .nullable()
      .transform((value) => value ?? '')
      .optional(),
    isDefault: flag.optional(),
    enabled: flag.optional(),
  };
  return { create: z.object({ ...common, name }), update: z.object({ ...common, name: name.optional() }) };
}

/** Returns why a kubeconfig context's name is not a valid cluster name; undefined if it is valid. */
export function nameProblem(candidate: string): string | undefined {
  return name.safeParse(candidate).error?.issues[0]?.message;
}

/** Returns only the key and value of a label, without its other columns. */
export function plainLabel({ key, value }: Label): Label {
  return { key, value };
}

/** Whether two lists contain the same labels in any order. Keys must be unique within a list. */
export function sameLabels(left: readonly Label[], right: readonly Label[]): boolean {
  const values = new Map(right.map(({ key, value }) => [key, value]));
  return left.length === right.length && left.every(({ key, value }) => values.get(key) === value);
}

/** Adds the column `number`, which the selector operators `>` and `<` compare. */
export function storedLabel({ key, value }: Label): Label & { number: bigint | null } {
  return { key, value, number: labelNumber(value) };
}
