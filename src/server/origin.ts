import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

const MAX_HOSTS = 100;
/** What one who asks for another host is told. */
export const HOST_NOT_SERVED = 'this host is not served here: use localhost or an IP address, or set ALLOWED_HOSTS';

/**
 * Tells whether a request is for a host of ours. While Kitestring listens on loopback, a page elsewhere could point its
 * own name here (DNS rebinding): such a name is none of ours. What a `Host` came to is remembered.
 */
export function hostCheck(config: {
  loopback: boolean;
  allowedHosts: readonly string[];
}): (request: IncomingMessage) => boolean {
  const judged = new Map<string, boolean>();
  return ({ headers: { host = '' } }) => {
    let ours = judged.get(host);
    if (ours === undefined) {
      ours = isOurHost(host, config);
      if (judged.size < MAX_HOSTS) judged.set(host, ours);
    }
    return ours;
  };
}

function isOurHost(
  host: string,
  { loopback, allowedHosts }: { loopback: boolean; allowedHosts: readonly string[] },
): boolean {
  if (!loopback) return true;
  const name = hostname(host);
  if (name === undefined) return false;
  if (isIP(name.replace(/^\[|\]$/g, '')) !== 0 || name === 'localhost') return true;
  return allowedHosts.some((allowed) => hostname(allowed) === name);
}

// Nothing but a host and a port: URL would find one behind user info too, and before a path.
const HOST = /^(?:[\w.-]+|\[[\w:.]+\])(?::[0-9]{1,5})?$/;

function hostname(host: string): string | undefined {
  return HOST.test(host) ? URL.parse(`http://${host}/`)?.hostname : undefined;
}

/**
 * The CORS headers for an allowed origin, names and values in turn; none for any other. Never with credentials: cookies
 * stay same-origin.
 */
export function corsHeaders(
  { headers: { origin } }: IncomingMessage,
  allowedOrigins: readonly string[],
): readonly string[] {
  return origin !== undefined && allowedOrigins.includes(origin)
    ? ['Access-Control-Allow-Origin', origin, ...ALLOWED]
    : [];
}

const ALLOWED = [
  ...['Access-Control-Allow-Methods', 'GET, POST, PUT, DELETE'],
  ...['Access-Control-Allow-Headers', 'Authorization, Content-Type'],
  ...['Access-Control-Expose-Headers', 'x-request-id'],
  ...['Access-Control-Max-Age', '600'],
];

/**
 * Why a request that no API key vouches for is refused, or undefined. A browser sends cookies along for any page, so a
 * body must be of a type that no form can send, and the page must be ours.
 */
export function crossSiteRefusal(
  request: IncomingMessage,
  allowedOrigins: readonly string[],
): { status: 403 | 415; message: string } | undefined {
  const { origin, host, cookie, 'content-type': type, 'sec-fetch-site': site } = request.headers;
  if (request.method === 'GET' || request.method === 'HEAD') return undefined;
  const ours = origin === undefined || isOwnOrigin(origin, host);
  // Another origin is let in for what it asks by itself: it never acts with the cookies of a person.
  const allowed = origin !== undefined && cookie === undefined && allowedOrigins.includes(origin);
  const sameSite = site === undefined || site === 'same-origin' || site === 'none';
  if (!allowed && (!ours || !sameSite)) return { status: 403, message: 'cross-site request refused' };
  if (hasBody(request) && !/^application\/json\s*(?:;|$)/i.test(type ?? ''))
    return { status: 415, message: 'the body must be application/json' };
  return undefined;
}

// A proxy that ends TLS makes an https origin of our http host.
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  const own = host === undefined ? undefined : URL.parse(`http://${host}/`)?.host;
  return own !== undefined && URL.parse(origin)?.host === own;
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
