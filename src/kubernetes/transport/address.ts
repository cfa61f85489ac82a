import { type IPAddress, isInLoopback, parseAddress, type RangeMatcher, rangeMatcher } from '../../ip-address.ts';

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
const embeddings: [cidr: string, places: number[][]][] = [
  ['::/96', [lastFour]],
  ['::ffff:0:0:0/96', [lastFour]],
  ['64:ff9b::/96', [lastFour]],
  // The length of the local prefix is /48, /56, /64 or /96, and byte 8 is never part of the IPv4 address.
  ['64:ff9b:1::/48', [lastFour, [6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]]],
  ['2002::/16', [[2, 3, 4, 5]]],
  ['2001::/32', [[4, 5, 6, 7]]],
];

const kinds = [
  ...ranges.map(([cidr, name]) => ({ isIn: rangeMatcher([cidr]), name })),
  { isIn: isInLoopback, name: LOOPBACK },
];
const embeddingRanges = embeddings.map(([cidr, places]) => ({ isIn: rangeMatcher([cidr]), places }));
const isTeredo = rangeMatcher(['2001::/32']);

/** Returns the reason why an IP address may not be dialled, as a sentence for users; undefined if it may. */
export function addressProblem(ip: string, policy: AddressPolicy): string | undefined {
  const address = parseAddress(ip);
  if (!address) return `${JSON.stringify(ip.slice(0, 64))} is not an IP address`;
  const bare = ip.replace(/%.*$/s, '');
  const direct = classify(address, policy);
  if (direct !== undefined) return refusalSentence(bare, direct, policy);
  for (const inner of embeddedIn(address)) {
    const name = classify(inner, policy);
    const reason = name && refusalSentence(`${inner.text} in ${bare}`, name, policy);
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
  if (parseAddress(host)) return addressProblem(host, policy);
  if (host === 'localhost' || host.endsWith('.localhost')) return refusalSentence('localhost', LOOPBACK, policy);
  return undefined;
}

function refusalSentence(subject: string, name: string, policy: AddressPolicy): string | undefined {
  if (name !== LOOPBACK) return `${subject} is ${name}, which is never dialled`;
  if (policy.allowLoopback) return undefined;
  return `${subject} is ${name}, which is dialled only with ALLOW_LOOPBACK_TARGETS=true`;
}

/** Returns the IPv4 addresses that a translator or tunnel may extract from an IPv6 address. */
function embeddedIn(address: IPAddress): IPAddress[] {
  const bytes = address.ipv6.toByteArray();
  const found: number[][] = [];
  for (const { isIn, places } of embeddingRanges) {
    if (!isIn(address)) continue;
    const inners = places.map((positions) => positions.map((position) => bytes[position] ?? 0));
    // If the prefix length is unknown, zero padding at a wrong position looks like 0.0.0.0/8: ignore it.
    found.push(...inners.filter(([first]) => inners.length === 1 || first !== 0));
  }
  const end = bytes.slice(12);
  // Teredo stores the client's IPv4 address with all bits inverted.
  if (isTeredo(address)) found.push(end.map((byte) => 255 - byte));
  // ISATAP (RFC 5214): after any 64-bit prefix, the identifier 0:5efe or 200:5efe precedes the IPv4 address.
  const [, , , , high, low] = address.ipv6.parts;
  if ((high === 0 || high === 0x200) && low === 0x5efe) found.push(end);
  return found.map((inner) => parseAddress(inner.join('.'))).filter((inner) => inner !== undefined);
}

function classify(address: IPAddress, { deniedTargets }: AddressPolicy): string | undefined {
  const name = kinds.find(({ isIn }) => isIn(address))?.name;
  // Check DENIED_TARGETS for loopback addresses too: an address in it is denied even if loopback is allowed.
  const isRefused = name !== undefined && name !== LOOPBACK;
  return !isRefused && deniedMatcher(deniedTargets)(address) ? 'an address in DENIED_TARGETS' : name;
}

const matchers = new WeakMap<readonly string[], RangeMatcher>();

function deniedMatcher(deniedTargets: readonly string[] = []): RangeMatcher {
  const matcher = matchers.get(deniedTargets) ?? rangeMatcher(deniedTargets);
  matchers.set(deniedTargets, matcher);
  return matcher;
}
