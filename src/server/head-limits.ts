import type { IncomingMessage } from 'node:http';
import { HttpError } from '../http-error.ts';

/** Maximum head of a request, in bytes. Common proxies have similar limits for the head and the URL. */
export const MAX_HEAD = 16_384;
/** Maximum header fields. Node silently drops fields beyond 2,000, possibly including fields that a proxy added. */
const MAX_FIELDS = 100;
/** Maximum URL, in characters. */
const MAX_URL = 8_192;

/** Throws an HttpError if the head of a request exceeds a limit or is ambiguous. */
export function checkHead({ url = '', rawHeaders }: IncomingMessage): void {
  if (url.length > MAX_URL) throw new HttpError(414, `the URL is longer than ${MAX_URL} characters`);
  if (rawHeaders.length > 2 * MAX_FIELDS)
    throw new HttpError(431, `the request has more than ${MAX_FIELDS} header fields`);
  // Node uses the first Host header; a proxy in front of us may have used the other.
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2)
    if (rawHeaders[index]?.length === 4 && rawHeaders[index]?.toLowerCase() === 'host') hosts++;
  if (hosts > 1) throw new HttpError(400, 'the request has more than one Host header');
}
