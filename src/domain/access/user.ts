import { z } from 'zod';
import { listWithin, textWithin } from '../bounded.ts';
import { isStorable, MAX_NAME } from '../storable.ts';

// Long rather than intricate: NIST SP 800-63B asks for eight and more, and against rules of composition.
const MIN_PASSWORD = 10;
export const MAX_PASSWORD = 256;

/** The rules of a username. */
export const username = z
  .string()
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N}._@+-]{0,126}$/u,
    'must be 1 to 127 letters, digits or any of ._@+-, beginning with a letter or digit',
  );
/** The rules of a password. */
export const password = z
  .string()
  .min(MIN_PASSWORD, `must be at least ${MIN_PASSWORD} characters`)
  .max(MAX_PASSWORD, `must be at most ${MAX_PASSWORD} characters`);
const name = textWithin(MAX_NAME).refine(
  (text) => isStorable(text) && !/\p{Cc}/u.test(text),
  'must not hold control characters or lone surrogates',
);

/** Roles that one person holds. */
const MAX_ROLES = 50;

const roles = listWithin(z.array(z.string()), MAX_ROLES, 'roles');

/** The rules of a new user. */
export const createSchema = z.object({
  username,
  password: password.nullish().transform((text) => text ?? undefined),
  name: name.nullish().transform((text) => text ?? ''),
  roles,
});

/** The rules of a change of a user: an absent field keeps its value. */
export const updateSchema = z.object({
  name: name.optional(),
  password: password.optional(),
  disabled: z.boolean().optional(),
  roles: roles.optional(),
});
