import { z } from 'zod';
import { listWithin, textWithin } from '../bounded.ts';
import { LabelSyntaxError, parseLabelSelector } from '../clusters/label-selector.ts';
import { isStorable, MAX_NAME, UNSTORABLE } from '../storable.ts';
import { BUILT_IN_ROLES, GRANTABLE } from './permissions.ts';

/** The clusters a role holds for: either part lets a cluster in. */
export interface ClusterScope {
  /** Names in which `*` stands for any characters and `?` for one. */
  readonly names: readonly string[];
  readonly labelSelector?: string | undefined;
}

/** Actions that a role names: more than there are. */
const MAX_ACTIONS = 100;

const selector = textWithin(1_000).superRefine((text, context) => {
  try {
    parseLabelSelector(text);
  } catch (error) {
    if (!(error instanceof LabelSyntaxError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

/** The rules of a role that somebody defines. */
export const roleSchema = z.object({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,62}$/, 'must be 1 to 63 lower-case letters, digits or "-", beginning with a letter')
    .refine((name) => !BUILT_IN_ROLES.includes(name), 'is built in'),
  description: textWithin(1_000)
    .refine(isStorable, UNSTORABLE)
    .nullish()
    .transform((text) => text ?? ''),
  actions: listWithin(
    z
      .array(z.enum(GRANTABLE, { error: `must be some of ${GRANTABLE.join(', ')}` }))
      .min(1, 'must name at least one action'),
    MAX_ACTIONS,
    'actions',
  ),
  clusters: z
    .object({
      names: listWithin(z.array(textWithin(MAX_NAME).min(1).refine(isStorable, UNSTORABLE)), 100, 'names')
        .nullish()
        .transform((names) => names ?? []),
      labelSelector: selector.nullish().transform((text) => text || undefined),
    })
    .refine(
      ({ names, labelSelector }) => names.length > 0 || labelSelector,
      'must name clusters, or select them by label',
    )
    .nullish()
    .transform((scope) => scope ?? undefined),
});

export type RoleInput = z.input<typeof roleSchema>;

/** Whether a name fits a glob, byte for byte. Linear in the name for each `*`. */
export function matchesGlob(name: string, glob: string): boolean {
  let [at, star, resume] = [0, -1, 0];
  let index = 0;
  while (index < name.length) {
    if (at < glob.length && (glob[at] === '?' || (glob[at] === name[index] && glob[at] !== '*'))) {
      at++;
      index++;
    } else if (glob[at] === '*') {
      star = at++;
      resume = index;
    } else if (star >= 0) {
      at = star + 1;
      index = ++resume;
    } else return false;
  }
  while (glob[at] === '*') at++;
  return at === glob.length;
}
