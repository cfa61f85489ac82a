import type { z } from 'zod';
import { describeJsonExcess } from '../graphql/json-limits.ts';
import { HttpError } from '../http-error.ts';

/** Maximum number of items of a list in a body. The longest list, of roles, may have 100. */
const MAX_ITEMS = 100;
/** Maximum number of problems that one error sentence lists. */
const MAX_REPORTED = 5;

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** Parses a JSON body. Throws an HttpError with status 400; if a field is invalid, its message names the field. */
export function parseBody(schema: z.ZodObject, bytes: Buffer): Record<string, unknown> {
  const excess = describeJsonExcess(bytes, 'the body');
  if (excess !== undefined) throw new HttpError(400, excess);
  const { value, problem } = parseFields(schema, parseJson(bytes));
  if (problem !== undefined) throw new HttpError(400, problem);
  return value;
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(UTF8.decode(bytes));
  } catch {
    throw new HttpError(400, 'the body is not valid JSON');
  }
}

/**
 * Parses a body. Field names match in any letter case, and the exact spelling wins. Null counts as absent, and unknown
 * fields are dropped. Returns the value, or an error sentence that names the invalid fields.
 */
export function parseFields<Schema extends z.ZodObject>(
  schema: Schema,
  body: unknown,
): { value: z.output<Schema>; problem?: never } | { value?: never; problem: string } {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return { problem: 'the body must be a JSON object' };
  const fields = new Map(Object.keys(schema.shape).map((field) => [field.toLowerCase(), field]));
  const found = new Map<string, unknown>();
  const exact = new Set<string>();
  // A body may have many unknown keys, so iterate over them only once.
  for (const [key, value] of Object.entries(body)) {
    const field = fields.get(key.toLowerCase());
    if (field === undefined || exact.has(field)) continue;
    if (key === field) exact.add(field);
    found.set(field, value);
  }
  const known = [...found].filter(([, value]) => value != null);
  const tooLong = known.find(([, value]) => Array.isArray(value) && value.length > MAX_ITEMS);
  if (tooLong) return { problem: `${tooLong[0]} must be a list of at most ${MAX_ITEMS} items` };
  const result = schema.safeParse(Object.fromEntries(known));
  if (result.success) return { value: result.data };
  const { issues } = result.error;
  const problems = issues.slice(0, MAX_REPORTED).map(({ code, path, message }) => {
    const field = path.join('.');
    const isAbsent = path.length === 1 && !known.some(([name]) => name === field);
    if (code === 'invalid_type' && isAbsent) return `${field} is required`;
    return path.length > 0 ? `${field} ${message}` : message;
  });
  if (issues.length > MAX_REPORTED) problems.push(`and ${issues.length - MAX_REPORTED} more problems`);
  return { problem: problems.join('; ') };
}
