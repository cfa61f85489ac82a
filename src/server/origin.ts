import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { HttpError } from '../http-error.ts';

/** Maximum number of `Host` values to remember. */
const MAX_HOSTS = 100;

/** The error for a request to a host that is not served. */
export const HOST_NOT_SERVED = 'this host is not served here: use localhost or an IP address, or set ALLOWED_HOSTS';

/**
 * Returns a predicate for whether the `Host` of a request is served here. This prevents DNS rebinding: if Kitestring
 * only listens on loopback, a malicious site could make its own host name resolve to it. The results are remembered per
 * `Host`.
 */
export function hostCheck(config: {
  loopback: boolean;
  allowedHosts: readonly string[];
}): (request: IncomingMessage) => boolean {
  const resultByHost = new Map<string, boolean>();
  return ({ headers: { host = '' } }) => {
    let isServed = resultByHost.get(host);
    if (isServed === undefined) {
      isServed = isServedHost(host, config);
      if (resultByHost.size < MAX_HOSTS) resultByHost.set(host, isServed);
    }
    return isServed;
  };
}

function isServedHost(
  host: string,
  { loopback, allowedHosts }: { loopback: boolean; allowedHosts: readonly string[] },
): boolean {
  if (!loopback) return true;
  const name = hostname(host);
  if (name === undefined) return false;
  if (isIP(name.replace(/^\[|\]$/g, '')) !== 0 || name === 'localhost') return true;
  return allowedHosts.some((allowed) => hostname(allowed) === name);
}

// Only a host and a port. URL would also accept user info before the host and a path after it.
const HOST = /^(?:[\w.-]+|\[[\w:.]+\])(?::[0-9]{1,5})?$/;

function hostname(host: string): string | undefined {
  // A fully qualified name ends with a dot.
  return HOST.test(host) ? URL.parse(`http://${host}/`)?.hostname.replace(/\.$/, '') : undefined;
}

/**
 * The CORS headers for an allowed origin, as alternating names and values; empty for any other origin. They never allow
 * credentials, so cookies stay same-origin.
 */
export function corsHeaders(
  { headers: { origin } }: IncomingMessage,
  allowedOrigins: readonly string[],
): readonly string[] {
  return origin !== undefined && allowedOrigins.includes(origin)
    ? ['Access-Control-Allow-Origin', origin, ...CORS_HEADERS]
    : [];
}

const CORS_HEADERS = [
  ...['Access-Control-Allow-Methods', 'GET, POST, PUT, DELETE'],
  // The second line: Apollo Client and its link to Apollo Studio send these.
  ...[
    'Access-Control-Allow-Headers',
    'Authorization, Content-Type, Accept, Apollo-Require-Preflight, X-Apollo-Operation-Name, X-Apollo-Operation-Id, apollographql-client-name, apollographql-client-version',
  ],
  ...['Access-Control-Expose-Headers', 'x-request-id'],
  ...['Access-Control-Max-Age', '600'],
];

/**
 * Throws an HttpError for a cross-site request; call it for requests without an API key. A browser sends cookies with
 * requests from any site, so the origin must be ours and a body must have a type that no form can send.
 */
export function refuseCrossSite(request: IncomingMessage, allowedOrigins: readonly string[]): void {
  const { origin, host, cookie, 'content-type': type, 'sec-fetch-site': site } = request.headers;
  if (request.method === 'GET' || request.method === 'HEAD') return;
  const isOwn = origin === undefined || isOwnOrigin(origin, host);
  // Allowed origins must authenticate without cookies, so that they never act with a user's session.
  const isAllowed = origin !== undefined && cookie === undefined && allowedOrigins.includes(origin);
  const isSameSite = site === undefined || site === 'same-origin' || site === 'none';
  if (!isAllowed && (!isOwn || !isSameSite)) throw new HttpError(403, 'cross-site request refused');
  if (hasBody(request) && !/^application\/json\s*(?:;|$)/i.test(type ?? ''))
    throw new HttpError(415, 'the body must be application/json');
}

// Ignores the scheme: behind a proxy that terminates TLS the origin is https, but the request arrives over http.
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  const ownHost = host === undefined ? undefined : URL.parse(`http://${host}/`)?.host;
  return ownHost !== undefined && URL.parse(origin)?.host === ownHost;
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
