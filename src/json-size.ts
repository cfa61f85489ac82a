/** The largest allowed JSON text: nested arrays and objects, and array items plus object members in total. */
export interface JsonLimits {
  readonly maxDepth: number;
  readonly maxValues: number;
}

/** The limit that a JSON text exceeds. */
export interface JsonExcess {
  readonly what: 'depth' | 'values';
  readonly limit: number;
}

/**
 * Checks a JSON text in UTF-8 against limits before it is parsed. The scan allocates nothing and stops at the first
 * excess. For valid JSON both counts are exact: a repeated key counts each time, the root value does not count. For
 * invalid JSON the counts cover at least the text before the error. The function never throws.
 */
export function findJsonExcess(bytes: Uint8Array, { maxDepth, maxValues }: JsonLimits): JsonExcess | undefined {
  let depth = 0;
  let values = 0;
  // True directly after an opening bracket: `[]` and `{}` hold no value.
  let isEmpty = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    switch (byte) {
      case SPACE:
      case LINE_FEED:
      case CARRIAGE_RETURN:
      case TAB:
        continue;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        isEmpty = false;
        if (depth > 0) depth--;
        continue;
      case COMMA:
        if (++values > maxValues) return { what: 'values', limit: maxValues };
        isEmpty = false;
        continue;
    }
    if (isEmpty) {
      isEmpty = false;
      if (++values > maxValues) return { what: 'values', limit: maxValues };
    }
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++depth > maxDepth) return { what: 'depth', limit: maxDepth };
      isEmpty = true;
    }
  }
  return undefined;
}

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Returns the index of the quote that closes the string opened at `start`, or the text's length if none does. */
function endOfString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  for (; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) break;
    if (byte === BACKSLASH) at++;
  }
  return at;
}
