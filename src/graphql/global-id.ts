/** Maximum characters of a global id: a type name and a UUID in base64 have fewer than 80. */
const MAX_GLOBAL_ID = 100;

/** Encodes a type name and a row id as an opaque global id. */
export function encodeGlobalId(typename: string, id: string): string {
  return Buffer.from(`${typename}:${id}`).toString('base64url');
}

/** Decodes a global id. An invalid one returns the empty type name, which no type has. */
export function decodeGlobalId(globalId: string): { typename: string; id: string } {
  if (globalId.length > MAX_GLOBAL_ID) return { typename: '', id: '' };
  const text = Buffer.from(globalId, 'base64url').toString('utf8');
  const colon = text.indexOf(':');
  const [typename, id] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)];
  // `Buffer.from` ignores characters that are not base64. Compare with the encoding, so that a row has exactly one id.
  return encodeGlobalId(typename, id) === globalId ? { typename, id } : { typename: '', id: '' };
}
