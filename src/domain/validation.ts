import type { z } from 'zod';
import { type InputIssue, invalidInput } from './errors.ts';

export const CANNOT_BE_NULL = 'cannot be null: omit it to keep the value';

/**
 * Validates input against a schema. Adds problems to `issues`, with their paths; returns undefined if there are any.
 */
export function validate<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  issues: InputIssue[],
): z.output<Schema> | undefined {
  const result = schema.safeParse(input);
  for (const { path, message, code } of result.error?.issues ?? [])
    issues.push({
      path: path.map(String),
      message: code === 'invalid_type' && isNull(input, path) ? CANNOT_BE_NULL : message,
    });
  return result.data;
}

/** Throws INVALID_INPUT if there are issues. */
export function throwIfInvalid(issues: readonly InputIssue[]): void {
  if (issues.length > 0) throw invalidInput(issues);
}

function isNull(input: unknown, path: readonly PropertyKey[]): boolean {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | null)?.[key], input) === null;
}
