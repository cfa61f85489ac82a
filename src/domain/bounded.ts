import { z } from 'zod';
import { isWithin } from './storable.ts';

/** A text of at most so many code points. A longer one is refused before any other rule goes over it. */
export function textWithin(most: number) {
  return z.string({ error: 'must be a string' }).refine((text) => isWithin(text, most), {
    error: `must be at most ${most.toLocaleString('en')} characters`,
    abort: true,
  });
}

/** A list of at most so many items, such as `labels`. A longer one is refused before any of them is looked at. */
export function listWithin<Item extends z.ZodType>(items: z.ZodArray<Item>, most: number, what: string) {
  return z
    .custom<z.input<Item>[]>(
      (value) => !Array.isArray(value) || value.length <= most,
      `must be at most ${most} ${what}`,
    )
    .pipe(items);
}
