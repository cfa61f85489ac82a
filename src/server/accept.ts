/** Characters of an Accept header that no client exceeds; browsers send some 150. */
const MAX_ACCEPT = 200;

/** The media types that answers have. */
const KNOWN = new Set([
  ...['application/graphql-response+json', 'application/json', 'text/event-stream', 'multipart/mixed'],
  ...['*/*', 'application/*', 'text/*', 'multipart/*'],
]);

/**
 * An Accept header with the same meaning and no more than each media type that matters, once: Yoga goes over all that are
 * named, and lists its own types for each of them in the answer 406.
 */
export function shortAccept(accept: string): string {
  if (accept.length <= MAX_ACCEPT) return accept;
  const types = new Set<string>();
  for (const one of accept.replace(/\s/g, '').toLowerCase().split(',')) {
    const [type = '', ...parameters] = one.split(';');
    if (!KNOWN.has(type) || types.has(type)) continue;
    const charset = parameters.find((parameter) => parameter.includes('charset='));
    // Yoga passes over what is wanted in another encoding.
    if (charset === undefined || charset === 'charset=utf-8') types.add(type);
  }
  return types.size > 0 ? [...types].join(', ') : NOTHING_KNOWN;
}

/** A type that no answer has. */
const NOTHING_KNOWN = 'application/x-none';
