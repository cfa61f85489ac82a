/** Characters of a global id: a type's name and a UUID have under 80 in base64. */
const MAX_GLOBAL_ID = 100;

/** Builds the opaque global id of a type's row. */
export function encodeGlobalId(typename: string, id: string): string {
  return Buffer.from(`${typename}:${id}`).toString('base64url');
}

/** Takes a global id apart; a text that is none gives a type that no row has. */
export function decodeGlobalId(globalId: string): { typename: string; id: string } {
  if (globalId.length > MAX_GLOBAL_ID) return { typename: '', id: '' };
  const text = Buffer.from(globalId, 'base64url').toString('utf8');
  const colon = text.indexOf(':');
  const [typename, id] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)];
  // Decoding passes over what is no base64: a row has one global id, not many.
  return encodeGlobalId(typename, id) === globalId ? { typename, id } : { typename: '', id: '' };
}
