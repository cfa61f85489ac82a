import { isIP } from 'node:net';

/** The operator's rules for addresses that Kitestring may dial. */
export interface AddressPolicy {
  /**
   * Whether loopback addresses may be dialled: true if Kitestring itself
   * listens on loopback or the operator allows them.
   */
  allowLoopback: boolean;
  /**
   * Further addresses and CIDR ranges, such as `10.0.0.0/8`, that are
   * never dialled, in addition to the built-in list.
   */
  deniedTargets?: readonly string[] | undefined;
}

const LOOPBACK = 'a loopback address';

// Sources of the metadata addresses: the cloud providers' documentation and cloud-init's data sources. Most providers,
// such as Tencent Cloud, Huawei Cloud, IBM Cloud and DigitalOcean, use link-local addresses. An IPv4 row also covers
// the IPv4-mapped IPv6 addresses: both have the same sixteen bytes here.
const ranges: [cidr: string, name: string][] = [
  ['168.63.129.16', 'a metadata address'], // Azure
  ['100.100.100.200', 'a metadata address'], // Alibaba Cloud
  ['fd00:100::100:200', 'a metadata address'], // Alibaba Cloud
  ['192.0.0.192', 'a metadata address'], // Oracle Cloud Classic
  ['fd00:c1::a9fe:a9fe', 'a metadata address'], // Oracle Cloud
  ['fd00:ec2::/32', 'a metadata address'], // AWS: metadata at ::254, pod identity at ::23
  ['fd20:ce::254', 'a metadata address'], // Google Cloud
  ['fd00:42::42', 'a metadata address'], // Scaleway
  ['fd00:a9fe:a9fe::1', 'a metadata address'], // Akamai (Linode)
  ['100.80.80.80', 'a metadata address'], // UCloud
  ['100.96.0.96', 'a metadata address'], // Volcengine, BytePlus
  ['169.254.0.0/16', 'a link-local address'],
  ['fe80::/10', 'a link-local address'],
  ['127.0.0.0/8', LOOPBACK],
  ['::1/128', LOOPBACK],
  ['0.0.0.0/8', 'an unspecified address'],
  ['::/128', 'an unspecified address'],
  ['224.0.0.0/4', 'a multicast address'],
  ['ff00::/8', 'a multicast address'],
  ['255.255.255.255/32', 'a broadcast address'],
  ['240.0.0.0/4', 'a reserved address'],
];

// IPv6 ranges with an embedded IPv4 address that a translator or tunnel dials, and the positions of its bytes
// (RFC 4291, 6052, 3056, 2765, 4380).
const lastFour = [12, 13, 14, 15];
const embeddings: [cidr: string, bytes: number[][]][] = [
  ['::/96', [lastFour]],
  ['::ffff:0:0:0/96', [lastFour]],
  ['64:ff9b::/96', [lastFour]],
  // The length of the local prefix is /48, /56, /64 or /96, and byte 8 is never part of the IPv4 address.
  ['64:ff9b:1::/48', [lastFour, [6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]]],
  ['2002::/16', [[2, 3, 4, 5]]],
  ['2001::/32', [[4, 5, 6, 7]]],
];

const refusedRanges = ranges.map(([cidr, name]) => ({ ...readRange(cidr), name }));
const embeddingRanges = embeddings.map(([cidr, bytes]) => ({ ...readRange(cidr), bytes }));
const teredo = readRange('2001::/32');
// ISATAP (RFC 5214): after any 64-bit prefix, one of these four-byte sequences precedes the IPv4 address.
const isatap = [
  [0x00, 0x00, 0x5e, 0xfe],
  [0x02, 0x00, 0x5e, 0xfe],
].map((network) => ({ network, bits: 32 }));

/** Returns the reason why an IP address may not be dialled, as a sentence for users; undefined if it may. */
export function addressProblem(ip: string, policy: AddressPolicy): string | undefined {
  const bare = ip.replace(/%.*$/s, '');
  if (isIP(bare) === 0) return `${JSON.stringify(ip.slice(0, 64))} is not an IP address`;
  const address = bytesOf(bare);
  const direct = classify(address, policy);
  if (direct !== undefined) return refusalSentence(bare, direct, policy);
  for (const inner of embeddedIn(address)) {
    const name = classify(bytesOf(inner), policy);
    const reason = name && refusalSentence(`${inner} in ${bare}`, name, policy);
    if (reason) return reason;
  }
  return undefined;
}

/**
 * Like `addressProblem`, for a `URL.hostname`. Names other than localhost always
 * pass: their addresses are checked after DNS resolution.
 */
export function hostProblem(hostname: string, policy: AddressPolicy): string | undefined {
  const host = hostname
    .replace(/^\[(.*)\]$/s, '$1')
    // Without the lookbehind, a long run of dots before another character takes quadratic time.
    .replace(/(?<!\.)\.+$/, '')
    .toLowerCase();
  if (isIP(host.replace(/%.*$/s, '')) !== 0) return addressProblem(host, policy);
  if (host === 'localhost' || host.endsWith('.localhost')) return refusalSentence('localhost', LOOPBACK, policy);
  return undefined;
}

function refusalSentence(subject: string, name: string, policy: AddressPolicy): string | undefined {
  if (name !== LOOPBACK) return `${subject} is ${name}, which is never dialled`;
  if (policy.allowLoopback) return undefined;
  return `${subject} is ${name}, which is dialled only with ALLOW_LOOPBACK_TARGETS=true`;
}

interface Range {
  network: number[];
  bits: number;
}

/** Yields the IPv4 addresses that a translator or tunnel may extract from an IPv6 address. */
function* embeddedIn(address: number[]): Generator<string> {
  for (const range of embeddingRanges) {
    if (!isInRange(address, range)) continue;
    for (const positions of range.bytes) {
      const inner = positions.map((position) => address[position]).join('.');
      // If the prefix length is unknown, zero padding at a wrong position looks like 0.0.0.0/8: ignore it.
      if (range.bytes.length === 1 || !inner.startsWith('0.')) yield inner;
    }
  }
  const end = address.slice(12);
  // Teredo stores the client's IPv4 address with all bits inverted.
  if (isInRange(address, teredo)) yield end.map((byte) => 255 - byte).join('.');
  if (isatap.some((range) => isInRange(address.slice(8), range))) yield end.join('.');
}

function classify(address: number[], { deniedTargets }: AddressPolicy): string | undefined {
  const name = refusedRanges.find((range) => isInRange(address, range))?.name;
  // Check DENIED_TARGETS for loopback addresses too: an address in it is denied even if loopback is allowed.
  const isRefused = name !== undefined && name !== LOOPBACK;
  if (isRefused || !rangesOf(deniedTargets).some((range) => isInRange(address, range))) return name;
  return 'an address in DENIED_TARGETS';
}

const parsedRanges = new WeakMap<readonly string[], Range[]>();

function rangesOf(deniedTargets: readonly string[] = []): Range[] {
  const ranges = parsedRanges.get(deniedTargets) ?? deniedTargets.map(readRange);
  parsedRanges.set(deniedTargets, ranges);
  return ranges;
}

function isInRange(address: number[], { network, bits }: Range): boolean {
  return network.every((byte, index) => {
    const free = Math.min(8, Math.max(0, 8 * (index + 1) - bits));
    return byte >> free === (address[index] ?? 0) >> free;
  });
}

/** Parses an IP address or a CIDR range. */
function readRange(cidr: string): Range {
  const [ip = '', bits] = cidr.split('/');
  const bare = ip.replace(/%.*$/s, '');
  return { network: bytesOf(bare), bits: bits === undefined ? 128 : Number(bits) + (isIP(bare) === 4 ? 96 : 0) };
}

/** Converts a valid IP address to sixteen bytes; an IPv4 address becomes an IPv4-mapped IPv6 address. */
function bytesOf(ip: string): number[] {
  if (isIP(ip) === 4) return [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...ip.split('.').map(Number)];
  const [front = [], back = []] = ip.split('::').map(groupBytes);
  return [...front, ...Array<number>(16 - front.length - back.length).fill(0), ...back];
}

function groupBytes(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}
