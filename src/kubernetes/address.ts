import { isIP } from 'node:net';

/** What an operator allows and denies of the addresses that Kitestring dials. */
export interface AddressPolicy {
  /** Whether loopback addresses may be dialled: when Kitestring itself listens on loopback, or its operator says so. */
  allowLoopback: boolean;
  /** Addresses and ranges such as `10.0.0.0/8` that are never dialled, beside those that are refused to everybody. */
  deniedTargets?: readonly string[] | undefined;
}

const LOOPBACK = 'a loopback address';

// Metadata addresses: those of the clouds' own documentation and of cloud-init's data sources. Most clouds, such as Tencent
// Cloud, Huawei Cloud, IBM Cloud and DigitalOcean, keep theirs in the link-local ranges.
// An IPv4 row also holds its IPv4-mapped spellings: both are the same sixteen bytes here.
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

// IPv6 ranges whose addresses a translator or tunnel turns into the IPv4 address at these bytes (RFC 4291, 6052, 3056, 2765, 4380).
const last = [12, 13, 14, 15];
const embeddings: [cidr: string, bytes: number[][]][] = [
  ['::/96', [last]],
  ['::ffff:0:0:0/96', [last]],
  ['64:ff9b::/96', [last]],
  // The local prefix may be cut at /48, /56, /64 or /96, and byte 8 is skipped.
  ['64:ff9b:1::/48', [last, [6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]]],
  ['2002::/16', [[2, 3, 4, 5]]],
  ['2001::/32', [[4, 5, 6, 7]]],
];

const judged = ranges.map(([cidr, name]) => ({ ...readRange(cidr), name }));
const embedded = embeddings.map(([cidr, bytes]) => ({ ...readRange(cidr), bytes }));
const teredo = readRange('2001::/32');
// What stands before the IPv4 address, behind any prefix of 64 bits (RFC 5214).
const isatap = [
  [0x00, 0x00, 0x5e, 0xfe],
  [0x02, 0x00, 0x5e, 0xfe],
].map((network) => ({ network, bits: 32 }));

/** Tells why an IP address may not be dialled, as a sentence for a person; undefined when it may. */
export function judgeAddress(ip: string, policy: AddressPolicy): string | undefined {
  const bare = ip.replace(/%.*$/s, '');
  if (isIP(bare) === 0) return `${JSON.stringify(ip.slice(0, 64))} is not an IP address`;
  const address = bytesOf(bare);
  const direct = classify(address, policy);
  if (direct !== undefined) return sentence(bare, direct, policy);
  for (const inner of embeddedIn(address)) {
    const name = classify(bytesOf(inner), policy);
    const reason = name && sentence(`${inner} in ${bare}`, name, policy);
    if (reason) return reason;
  }
  return undefined;
}

/** Judges a host as `URL.hostname` gives it; a name other than localhost is judged by its address, when it is dialled. */
export function judgeHost(hostname: string, policy: AddressPolicy): string | undefined {
  const host = hostname
    .replace(/^\[(.*)\]$/s, '$1')
    // Without the look behind, many dots before another character take quadratic time.
    .replace(/(?<!\.)\.+$/, '')
    .toLowerCase();
  if (isIP(host.replace(/%.*$/s, '')) !== 0) return judgeAddress(host, policy);
  if (host === 'localhost' || host.endsWith('.localhost')) return sentence('localhost', LOOPBACK, policy);
  return undefined;
}

function sentence(subject: string, name: string, policy: AddressPolicy): string | undefined {
  if (name !== LOOPBACK) return `${subject} is ${name}, which is never dialled`;
  if (policy.allowLoopback) return undefined;
  return `${subject} is ${name}, which is dialled only with ALLOW_LOOPBACK_TARGETS=true`;
}

interface Range {
  network: number[];
  bits: number;
}

/** The IPv4 addresses that whoever forwards an IPv6 address may take out of it. */
function* embeddedIn(address: number[]): Generator<string> {
  for (const range of embedded) {
    if (!inside(address, range)) continue;
    for (const places of range.bytes) {
      const inner = places.map((place) => address[place]).join('.');
      // Read at a place that is not the right one, the filling zeros look like 0.0.0.0/8.
      if (range.bytes.length === 1 || !inner.startsWith('0.')) yield inner;
    }
  }
  const end = address.slice(12);
  // Teredo writes its client inverted.
  if (inside(address, teredo)) yield end.map((byte) => 255 - byte).join('.');
  if (isatap.some((range) => inside(address.slice(8), range))) yield end.join('.');
}

function classify(address: number[], { deniedTargets }: AddressPolicy): string | undefined {
  const name = judged.find((range) => inside(address, range))?.name;
  // Loopback may be allowed, and denied all the same.
  const isJudged = name !== undefined && name !== LOOPBACK;
  if (isJudged || !rangesOf(deniedTargets).some((range) => inside(address, range))) return name;
  return 'an address in DENIED_TARGETS';
}

const parsed = new WeakMap<readonly string[], Range[]>();

function rangesOf(deniedTargets: readonly string[] = []): Range[] {
  const ranges = parsed.get(deniedTargets) ?? deniedTargets.map(readRange);
  parsed.set(deniedTargets, ranges);
  return ranges;
}

function inside(address: number[], { network, bits }: Range): boolean {
  return network.every((byte, index) => {
    const free = Math.min(8, Math.max(0, 8 * (index + 1) - bits));
    return byte >> free === (address[index] ?? 0) >> free;
  });
}

/** Reads an address or a range in CIDR notation. */
function readRange(cidr: string): Range {
  const [ip = '', bits] = cidr.split('/');
  const bare = ip.replace(/%.*$/s, '');
  return { network: bytesOf(bare), bits: bits === undefined ? 128 : Number(bits) + (isIP(bare) === 4 ? 96 : 0) };
}

/** The sixteen bytes of a valid address, an IPv4 address as its IPv4-mapped one. */
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
