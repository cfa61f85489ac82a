import { isIP } from 'node:net';
import ipaddr, { type IPv6 } from 'ipaddr.js';
import { LRUCache } from 'lru-cache';

export interface IPAddress {
  /** IPv4 addresses are IPv4-mapped, so that both notations are equal. */
  readonly ipv6: IPv6;
  /** The address in its shortest notation; IPv4 for an IPv4-mapped address. */
  readonly text: string;
  /** Identifies one client for rate limits: the address itself for IPv4, the /64 network for IPv6. */
  readonly network: string;
}

// Parsing takes up to 3 µs, a tenth of a cached response, and the same clients send many requests.
const cache = new LRUCache<string, IPAddress>({ max: 1_000 });

/** Parses an IP address and ignores its zone. Returns undefined if the text is not an IP address. */
export function parseAddress(text: string): IPAddress | undefined {
  const bare = text.replace(/%.*$/s, '');
  // ipaddr.js also accepts 127.1, 0x7f.1 and 2130706433.
  if (isIP(bare) === 0) return undefined;
  const known = cache.get(bare);
  if (known) return known;
  const parsed = ipaddr.parse(bare);
  const ipv6 = parsed instanceof ipaddr.IPv4 ? parsed.toIPv4MappedAddress() : parsed;
  const address = ipv6.isIPv4MappedAddress()
    ? ofIPv4(ipv6)
    : { ipv6, text: ipv6.toString(), network: networkOf64(ipv6) };
  cache.set(bare, address);
  return address;
}

function ofIPv4(ipv6: IPv6): IPAddress {
  const text = ipv6.toIPv4Address().toString();
  return { ipv6, text, network: text };
}

function networkOf64({ parts }: IPv6): string {
  return `${parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':')}::/64`;
}

/** The `network` of an address; a text that is not an address unchanged. */
export function networkOf(text: string): string {
  return parseAddress(text)?.network ?? text;
}

/** Parses an address or a range such as `10.0.0.0/8`. */
function parseRange(text: string): [IPv6, number] | undefined {
  const [ip = '', bits, more] = text.split('/');
  const address = parseAddress(ip);
  const most = isIP(ip) === 4 ? 32 : 128;
  const length = bits === undefined ? most : Number(bits);
  if (!address || more !== undefined || !/^[0-9]{1,3}$/.test(bits ?? '0') || length > most) return undefined;
  return [address.ipv6, 128 - most + length];
}

/** Whether the text is an address or a range such as `10.0.0.0/8`. */
export function isRange(text: string): boolean {
  return parseRange(text) !== undefined;
}

/** Tells whether an address is in one of several ranges. */
export type RangeMatcher = (address: IPAddress) => boolean;

/** Matches addresses in any of these ranges. A text that is not a range contains no address. */
export function rangeMatcher(texts: readonly string[]): RangeMatcher {
  const ranges = texts.map(parseRange).filter((range) => range !== undefined);
  return ({ ipv6 }) => ranges.some((range) => ipv6.match(range));
}

export const isInLoopback = rangeMatcher(['127.0.0.0/8', '::1']);

/** Whether the text is a loopback address. */
export function isLoopback(text: string): boolean {
  const address = parseAddress(text);
  return address !== undefined && isInLoopback(address);
}
