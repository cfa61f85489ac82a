import { findJsonExcess, type JsonLimits } from '../json-size.ts';

/**
 * Limits of the JSON in a request. The schema's inputs nest at most 10 deep, and an import names at most 5,000
 * contexts.
 */
const JSON_LIMITS: JsonLimits = { maxDepth: 64, maxValues: 20_000 };

/**
 * Describes how a JSON text exceeds the limits; undefined if it does not. `name` is the subject of the sentence, such
 * as `the body`.
 */
export function describeJsonExcess(text: Uint8Array, name: string): string | undefined {
  const excess = findJsonExcess(text, JSON_LIMITS);
  if (excess === undefined) return undefined;
  return excess.what === 'depth'
    ? `${name} nests arrays and objects deeper than ${excess.limit} levels`
    : `${name} has more than ${excess.limit} keys and list items`;
}
