import { findJsonExcess, type JsonLimits } from '../json-size.ts';

/** Limits of the JSON in a request: no input nests deeper than 10, and an import names at most 5,000 contexts. */
export const JSON_LIMITS: JsonLimits = { maxDepth: 64, maxValues: 20_000 };

/** Says why a JSON text must not be parsed, or undefined when it is within the limits; `name` is its subject, such as `the body`. */
export function describeJsonExcess(text: Uint8Array, name: string): string | undefined {
  const excess = findJsonExcess(text, JSON_LIMITS);
  if (excess === undefined) return undefined;
  return excess.what === 'depth'
    ? `${name} nests arrays and objects deeper than ${excess.limit} levels`
    : `${name} has more than ${excess.limit} keys and list items`;
}
