import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv4 } from 'node:net';

/** Where a request came from, and whether it came over TLS, as far as that is known beyond doubt. */
export interface Client {
  readonly address: string | undefined;
  readonly secure: boolean;
}

/**
 * Tells where requests come from. What headers say counts only when it was said by a proxy that is trusted: from the
 * right, each address as long as the one that named it is such a proxy. Where `Forwarded` and `X-Forwarded-*` are both
 * there and differ, a proxy has written one and passed the other on as a stranger sent it, so neither counts.
 */
export function clientResolver(trustedProxies: readonly string[]): (request: IncomingMessage) => Client {
  if (trustedProxies.length === 0) return ({ socket }) => ({ address: plain(socket.remoteAddress), secure: false });
  const isTrusted = proxiesOf(trustedProxies);

  /** The address that the last trusted hop was asked by; `hops` as the header lists them. */
  const follow = (nearest: string, hops: readonly string[]): string => {
    let address = nearest;
    for (const hop of hops.toReversed()) {
      if (!isTrusted(address)) break;
      const next = addressOf(hop);
      if (next === undefined) break;
      address = next;
    }
    return address;
  };

  return ({ socket, headers }) => {
    const nearest = addressOf(socket.remoteAddress ?? '');
    if (nearest === undefined || !isTrusted(nearest)) return { address: nearest, secure: false };
    const elements = headers.forwarded?.split(',').map(pairsOf);
    const told = listOf(headers['x-forwarded-for']);
    const addresses = [
      ...(elements
        ? [
            follow(
              nearest,
              elements.map((pairs) => pairs.get('for') ?? ''),
            ),
          ]
        : []),
      ...(told ? [follow(nearest, told)] : []),
    ];
    const protocols = [
      ...(elements ? [elements.at(-1)?.get('proto') ?? ''] : []),
      ...(listOf(headers['x-forwarded-proto'])?.slice(-1) ?? []),
    ];
    const [address = nearest] = addresses;
    return {
      address: addresses.every((other) => other === address) ? address : nearest,
      secure: protocols.length > 0 && protocols.every((protocol) => protocol.toLowerCase() === 'https'),
    };
  };
}

/** Tells whether an address is one of a trusted proxy. */
export function proxiesOf(trustedProxies: readonly string[]): (address: string | undefined) => boolean {
  const trusted = new BlockList();
  for (const entry of trustedProxies) {
    const [ip = '', bits] = entry.split('/');
    const family = isIPv4(ip) ? 'ipv4' : 'ipv6';
    trusted.addSubnet(ip, bits === undefined ? (family === 'ipv4' ? 32 : 128) : Number(bits), family);
  }
  return (address) => {
    const ip = plain(address);
    return trustedProxies.length > 0 && ip !== undefined && trusted.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6');
  };
}

/** An address without its port and brackets, an IPv4 one always in its own spelling; undefined for anything else. */
function addressOf(text: string): string | undefined {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  const ip = plain(bare.toLowerCase())?.replace(/%.*$/s, '') ?? '';
  return isIP(ip) === 0 ? undefined : ip;
}

/** An IPv4 address as itself, where a socket for both families tells it as one of IPv6. */
function plain(address: string | undefined): string | undefined {
  return address?.startsWith('::ffff:') ? address.replace(/^::ffff:(?=[\d.]+$)/, '') : address;
}

function listOf(header: string | string[] | undefined): string[] | undefined {
  return header === undefined
    ? undefined
    : String(header)
        .split(',')
        .map((part) => part.trim());
}

/** One element of `Forwarded` (RFC 7239): `for=192.0.2.60;proto=https`, values perhaps in quotes. */
function pairsOf(element: string): Map<string, string> {
  return new Map(
    element.split(';').map((pair) => {
      const equals = pair.indexOf('=');
      const value = pair.slice(equals + 1).trim();
      return [pair.slice(0, equals).trim().toLowerCase(), value.replace(/^"(.*)"$/, '$1')];
    }),
  );
}
