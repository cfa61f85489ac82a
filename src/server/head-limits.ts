import type { IncomingMessage } from 'node:http';

/** Bytes of a request's head, and characters of its URL below; proxies stop at about as many. */
export const MAX_HEAD = 16_384;
/** Refused, where Node drops what is beyond 2,000, and with that perhaps what a proxy has added. */
const MAX_FIELDS = 100;
const MAX_URL = 8_192;

/** Why a request is refused for its head, or undefined. */
export function excessOf({
  url = '',
  rawHeaders,
}: IncomingMessage): { status: 400 | 414 | 431; message: string } | undefined {
  if (url.length > MAX_URL) return { status: 414, message: `the URL is longer than ${MAX_URL} characters` };
  if (rawHeaders.length > 2 * MAX_FIELDS) return { status: 431, message: `more than ${MAX_FIELDS} header fields` };
  // Node takes the first; what stands in front may have taken the other.
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.length === 4 && rawHeaders[at]?.toLowerCase() === 'host') hosts++;
  if (hosts > 1) return { status: 400, message: 'more than one Host' };
  return undefined;
}
