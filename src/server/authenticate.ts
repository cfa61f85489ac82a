import type { IncomingMessage } from 'node:http';
import type { Viewer } from '../domain/access/caller.ts';
import type { ApiKeys } from '../domain/accounts/api-keys.ts';
import type { Sessions } from '../domain/accounts/sessions.ts';
import { isLoopback } from '../ip-address.ts';
import type { Counters } from '../storage/database.ts';
import { readCookie } from './cookie.ts';

/**
 * The result: a viewer, null for an anonymous caller, or the problem with invalid credentials. `byKey`: an API key was
 * sent.
 */
export type Authentication =
  | { readonly viewer: Viewer | null; readonly byKey: boolean; readonly problem?: never }
  | { readonly viewer?: never; readonly byKey: boolean; readonly problem: string };

export interface Authenticators {
  readonly apiKeys: ApiKeys;
  readonly sessions: Sessions;
  /** Whether the server listens on loopback alone. */
  readonly loopback: boolean;
}

// Node has trimmed spaces and tabs around the header's value; every other character is part of the key.
const API_KEY = /^(?:bearer +)?(kite.*)$/i;

const ANONYMOUS: Authentication = { viewer: null, byKey: false };

/**
 * Authenticates a request. An API key in `Authorization` takes precedence over the session cookie; any other value of
 * `Authorization` is ignored. Returns synchronously for a key that was verified before, which keeps cached responses
 * fast.
 */
export function authenticate(
  request: IncomingMessage,
  { access, registry }: Counters,
  { apiKeys, sessions, loopback }: Authenticators,
): Authentication | Promise<Authentication> {
  const [, key] = API_KEY.exec(request.headers.authorization ?? '') ?? [];
  if (key === undefined) {
    const token = request.headers.cookie === undefined ? undefined : readCookie(request.headers.cookie);
    return token === undefined ? ANONYMOUS : sessions.authenticate(token, { access, registry }).then(bySession);
  }
  const viewer = apiKeys.authenticate(key, { access, registry, local: loopback && isLocal(request) });
  return viewer instanceof Promise ? viewer.then(byKey) : byKey(viewer);
}

function byKey(viewer: Viewer | undefined): Authentication {
  return viewer ? { viewer, byKey: true } : { byKey: true, problem: 'Invalid API key' };
}

function bySession(viewer: Viewer | undefined): Authentication {
  return viewer ? { viewer, byKey: false } : { byKey: false, problem: 'Invalid or expired token' };
}

/** Headers with which proxies, load balancers and CDNs mark a forwarded request or name its origin. */
const FORWARDING = new Set([
  ...['forwarded', 'via', 'proxy-connection', 'forwarded-for', 'x-forwarded', 'x-original-for', 'x-original-host'],
  ...['client-ip', 'x-client-ip', 'x-real-ip', 'x-remote-ip', 'x-remote-addr', 'x-originating-ip', 'x-host'],
  ...['x-cluster-client-ip', 'x-proxyuser-ip', 'wl-proxy-client-ip', 'proxy-client-ip', 'true-client-ip'],
  // Set by Akamai, Alibaba, AWS, Azure, Cloudflare, Fastly, Fly, Google, Vercel and others.
  ...['akamai-origin-hop', 'x-akamai-edgescape', 'ali-cdn-real-ip', 'x-amzn-trace-id', 'x-amz-cf-id'],
  ...['cloudfront-viewer-address', 'cloudfront-forwarded-proto', 'x-arr-log-id', 'x-arr-ssl', 'x-appgw-trace-id'],
  ...['cdn-loop', 'fastly-client-ip', 'fastly-ff', 'fastly-ssl', 'x-varnish', 'fly-client-ip', 'fly-request-id'],
  ...['x-appengine-user-ip', 'x-appengine-remote-addr', 'x-cloud-trace-context', 'x-google-real-ip'],
  ...['do-connecting-ip', 'x-vercel-id', 'x-nf-client-connection-ip', 'x-nf-request-id', 'incap-client-ip'],
  ...['x-sucuri-clientip', 'x-cdn-src-ip', 'x-client-real-ip', 'ar-real-ip', 'x-bb-ip', 'x-request-start'],
  ...['x-envoy-external-address', 'x-envoy-original-path', 'x-envoy-expected-rq-timeout-ms', 'x-scheme'],
  ...['tailscale-user-login', 'ssl-client-verify', 'x-ssl-client-verify'],
]);
const FORWARDING_PREFIXES = ['x-forwarded-', 'x-azure-', 'cf-', 'x-envoy-', 'x-appengine-', 'x-vercel-', 'cloudfront-'];

/**
 * Whether a request certainly comes from this machine: its peer is a loopback address, and it has no header that a
 * proxy adds. nginx adds no header by default but uses HTTP/1.0, so HTTP/1.0 does not count as local either. A TCP
 * proxy, or a proxy that adds no header, cannot be detected.
 */
export function isLocal({ headers, httpVersion, socket }: IncomingMessage): boolean {
  if (httpVersion === '1.0' || !isLoopback(socket.remoteAddress ?? '')) return false;
  for (const name in headers)
    if (FORWARDING.has(name) || FORWARDING_PREFIXES.some((prefix) => name.startsWith(prefix))) return false;
  return true;
}
