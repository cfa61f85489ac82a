import type { IncomingMessage } from 'node:http';
import { parseAddress, rangeMatcher } from '../ip-address.ts';

/** The client address of a request, and whether the request certainly came over TLS. */
export interface Client {
  readonly address: string | undefined;
  readonly secure: boolean;
}

/**
 * Returns a function that determines the client of a request. Only values that trusted proxies added to the headers
 * count: it walks the addresses from right to left while the previous hop is a trusted proxy. If `Forwarded` and
 * `X-Forwarded-*` are both present and disagree, the proxy may have set one and passed on a forged other one, so
 * neither counts.
 */
export function clientResolver(trustedProxies: readonly string[]): (request: IncomingMessage) => Client {
  if (trustedProxies.length === 0)
    return ({ socket }) => ({ address: parseAddress(socket.remoteAddress ?? '')?.text, secure: false });
  const isTrusted = trustedProxyMatcher(trustedProxies);

  /** The address from which the outermost trusted hop received the request. `hops` are in the order of the header. */
  const findClient = (nearest: string, hops: readonly string[]): string => {
    let address = nearest;
    for (const hop of hops.toReversed()) {
      if (!isTrusted(address)) break;
      const next = plainAddress(hop);
      if (next === undefined) break;
      address = next;
    }
    return address;
  };

  return ({ socket, headers }) => {
    const nearest = plainAddress(socket.remoteAddress);
    if (nearest === undefined || !isTrusted(nearest)) return { address: nearest, secure: false };
    const elements = headers.forwarded?.split(',').map(parseElement);
    const forwardedFor = splitList(headers['x-forwarded-for']);
    const addresses = [
      ...(elements
        ? [
            findClient(
              nearest,
              elements.map((pairs) => pairs.get('for') ?? ''),
            ),
          ]
        : []),
      ...(forwardedFor ? [findClient(nearest, forwardedFor)] : []),
    ];
    const protocols = [
      ...(elements ? [elements.at(-1)?.get('proto') ?? ''] : []),
      ...(splitList(headers['x-forwarded-proto'])?.slice(-1) ?? []),
    ];
    const [address = nearest] = addresses;
    return {
      address: addresses.every((other) => other === address) ? address : nearest,
      secure: protocols.length > 0 && protocols.every((protocol) => protocol.toLowerCase() === 'https'),
    };
  };
}

/** Returns a predicate for whether an address belongs to a trusted proxy. */
export function trustedProxyMatcher(trustedProxies: readonly string[]): (address: string | undefined) => boolean {
  const isTrusted = rangeMatcher(trustedProxies);
  return (text = '') => {
    const address = trustedProxies.length === 0 ? undefined : parseAddress(text);
    return address !== undefined && isTrusted(address);
  };
}

/** Removes port, brackets and zone from an address, and maps IPv4-mapped IPv6 to IPv4. Undefined if not an address. */
function plainAddress(text = ''): string | undefined {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  return parseAddress(bare)?.text;
}

function splitList(header: string | string[] | undefined): string[] | undefined {
  return header === undefined
    ? undefined
    : String(header)
        .split(',')
        .map((part) => part.trim());
}

/** Parses one element of `Forwarded` (RFC 7239), such as `for=192.0.2.60;proto=https`. Values may be quoted. */
function parseElement(element: string): Map<string, string> {
  return new Map(
    element.split(';').map((pair) => {
      const equals = pair.indexOf('=');
      const value = pair.slice(equals + 1).trim();
      return [pair.slice(0, equals).trim().toLowerCase(), value.replace(/^"(.*)"$/, '$1')];
    }),
  );
}
