import { z } from 'zod';
import { GRANTABLE } from '../access/action.ts';
import { BUILT_IN_ROLES } from '../access/permissions.ts';
import { listWithin, textWithin } from '../bounded.ts';
import { LabelSyntaxError, parseLabelSelector } from '../label-selector.ts';
import { isStorable, MAX_NAME, UNSTORABLE } from '../storable.ts';

/** The clusters that a role applies to. A cluster is included if `names` or `labelSelector` matches. */
export interface ClusterScope {
  /** Cluster names. `*` matches any characters, `?` matches one character. */
  readonly names: readonly string[];
  readonly labelSelector?: string | undefined;
}

/** Maximum length of the action list in the input. It is larger than the number of actions. */
const MAX_ACTIONS = 100;

const selector = textWithin(1_000).superRefine((text, context) => {
  try {
    parseLabelSelector(text);
  } catch (error) {
    if (!(error instanceof LabelSyntaxError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

/** Validation of a custom role. */
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

/** Whether a name matches a glob, case-sensitively. Takes time linear in the name length for each `*`. */
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
