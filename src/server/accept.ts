/** Accept headers up to this many characters are not shortened. Browsers send about 150. */
const MAX_ACCEPT = 200;

/** The media types that Yoga's responses can have, and the wildcards that match them. */
const SUPPORTED_TYPES = new Set([
  ...['application/graphql-response+json', 'application/json', 'text/event-stream', 'multipart/mixed'],
  ...['*/*', 'application/*', 'text/*', 'multipart/*'],
]);

/**
 * Shortens an Accept header without changing its meaning: keeps each relevant media type once. Yoga checks every named
 * type, and its 406 response lists its own types once per named type, so a long header would be expensive.
 */
export function shortAccept(accept: string): string {
  if (accept.length <= MAX_ACCEPT) return accept;
  const types = new Set<string>();
  for (const one of accept.replace(/\s/g, '').toLowerCase().split(',')) {
    const [type = '', ...parameters] = one.split(';');
    if (!SUPPORTED_TYPES.has(type) || types.has(type)) continue;
    const charset = parameters.find((parameter) => parameter.includes('charset='));
    // Yoga ignores media types with another charset.
    if (charset === undefined || charset === 'charset=utf-8') types.add(type);
  }
  return types.size > 0 ? [...types].join(', ') : UNSUPPORTED_TYPE;
}

/** A media type that no response has. */
const UNSUPPORTED_TYPE = 'application/x-none';
