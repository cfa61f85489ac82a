import { z } from 'zod';
import { isWithin } from './storable.ts';

/** A string of at most `most` code points. A longer string is rejected before other rules run. */
export function textWithin(most: number) {
  return z.string({ error: 'must be a string' }).refine((text) => isWithin(text, most), {
    // Formatting a number loads Node's locale data, which takes 15 ms: do it only for an error.
    error: () => `must be at most ${most.toLocaleString('en')} characters`,
    abort: true,
  });
}

/**
 * A list of at most `most` items. A longer list is rejected before its items are validated. `what` names the items in
 * the error message.
 */
export function listWithin<Item extends z.ZodType>(items: z.ZodArray<Item>, most: number, what: string) {
  return z
    .custom<z.input<Item>[]>(
      (value) => !Array.isArray(value) || value.length <= most,
      `must be at most ${most} ${what}`,
    )
    .pipe(items);
}
