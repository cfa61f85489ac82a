import { z } from 'zod';
import { listWithin, textWithin } from '../bounded.ts';
import { isStorable, MAX_NAME } from '../storable.ts';

// Require length instead of character classes: NIST SP 800-63B requires at least 8 characters and advises against
// composition rules.
const MIN_PASSWORD = 10;
export const MAX_PASSWORD = 256;

/** Validation of a username. */
export const username = z
  .string()
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N}._@+-]{0,126}$/u,
    'must be 1 to 127 letters, digits or any of ._@+-, beginning with a letter or digit',
  );
/** Validation of a password. */
export const password = z
  .string()
  .min(MIN_PASSWORD, `must be at least ${MIN_PASSWORD} characters`)
  .max(MAX_PASSWORD, `must be at most ${MAX_PASSWORD} characters`);
const name = textWithin(MAX_NAME).refine(
  (text) => isStorable(text) && !/\p{Cc}/u.test(text),
  'must not contain control characters or lone surrogates',
);

/** Maximum number of roles of a user. */
const MAX_ROLES = 50;

const roles = listWithin(z.array(z.string()), MAX_ROLES, 'roles');

/** Validation of a new user. */
export const createSchema = z.object({
  username,
  password: password.nullish().transform((text) => text ?? undefined),
  name: name.nullish().transform((text) => text ?? ''),
  roles,
});

/** Validation of a change to a user. An absent field keeps its value. */
export const updateSchema = z.object({
  name: name.optional(),
  password: password.optional(),
  disabled: z.boolean().optional(),
  roles: roles.optional(),
});
