import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressProblem, hostProblem } from '../src/kubernetes/transport/address.ts';

const open = { allowLoopback: true };
const closed = { allowLoopback: false };

const never = [
  '169.254.169.254',
  '169.254.0.1',
  '168.63.129.16',
  '100.100.100.200',
  '192.0.0.192',
  '100.80.80.80',
  '100.96.0.96',
  '169.254.42.42',
  '169.254.170.2',
  'fd00:42::42',
  'fd00:c1::a9fe:a9fe',
  'fd00:a9fe:a9fe::1',
  'fd00:100::100:200',
  'fe80::a9fe:a9fe',
  '::ffff:100.96.0.96',
  '64:ff9b::6460:60',
  '64:ff9b::6450:5050',
  '2002:6450:5050::1',
  '2002:6464:64c8::1',
  '2001:0:4136:e378:8000:63bf:9b9f:ff9f',
  '0.0.0.0',
  '0.1.2.3',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
  'fe80::1',
  'fe80::1%eth0',
  'febf::1',
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd00:0ec2:0:0::254',
  'fd20:ce::254',
  'ff02::1',
  '::',
  '::ffff:169.254.169.254',
  '::ffff:a9fe:a9fe',
  '::FFFF:A9FE:A9FE',
  '0:0:0:0:0:ffff:a9fe:a9fe',
  '::169.254.169.254',
  '::ffff:0:169.254.169.254',
  '64:ff9b::169.254.169.254',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::a9fe:a9fe',
  '64:ff9b:1:a9fe:a9:fe00::',
  '64:ff9b:1:a9:fe:a9fe::',
  '64:ff9b:1:0:a9:fea9:fe00:0',
  '2002:a9fe:a9fe::1',
  '2001:0:a9fe:a9fe:8000:63bf:3fff:fdd2',
  '2001:0:4136:e378:8000:63bf:5601:5601',
  '2620:0:1:2:0:5efe:a9fe:a9fe',
  'fd00::200:5efe:169.254.169.254',
  '64:ff9b::0.0.0.0',
  '::ffff:0.0.0.0',
];
const loopback = [
  '127.0.0.1',
  '127.255.255.254',
  '::1',
  '0:0:0:0:0:0:0:1',
  '::ffff:127.0.0.1',
  '::127.0.0.1',
  '64:ff9b::127.0.0.1',
  '2002:7f00:1::',
  '2001:0:4136:e378:8000:63bf:80ff:fffe',
  'fd00::5efe:127.0.0.1',
];
const allowed = [
  '10.0.0.1',
  '172.16.0.1',
  '192.168.49.2',
  '100.64.0.1',
  '1.1.1.1',
  '169.253.255.255',
  '223.255.255.255',
  'fd00::1',
  'fc00::1',
  'fd00:ec3::254',
  'fd00:42::43',
  'fd00:c1::a9fe:a9ff',
  'fd00:a9fe:a9fe::2',
  '100.80.80.81',
  '100.96.0.97',
  '2606:4700::1111',
  '::ffff:10.0.0.1',
  '64:ff9b::10.0.0.1',
  '64:ff9b:1::10.0.0.1',
  '64:ff9b:1:a00:0:100::',
  '2002:a00:1::1',
  '2001:0:4136:e378:8000:63bf:3fff:fdd2',
  '2001:1:a9fe:a9fe::1',
  'fd00::5efe:10.0.0.1',
  'fd00::5eff:169.254.169.254',
];

describe('addressProblem', () => {
  test.each(never)('never dials %s', (ip) => {
    expect(addressProblem(ip, open)).toMatch(/ is an? .*, which is never dialled$/);
  });

  test.each(loopback)('dials the loopback address %s only if loopback is allowed', (ip) => {
    expect(addressProblem(ip, open)).toBeUndefined();
    expect(addressProblem(ip, closed)).toContain('ALLOW_LOOPBACK_TARGETS=true');
  });

  test.each(allowed)('allows %s', (ip) => {
    expect(addressProblem(ip, closed)).toBeUndefined();
  });

  test.each(['', 'localhost', '010.0.0.1', '1.2.3', '2852039166', '0x7f.1', ':::', '1.2.3.4\n'])(
    'rejects %j because it is not an IP address',
    (ip) => {
      expect(addressProblem(ip, open)).toContain('is not an IP address');
    },
  );

  test('the refusal names the kind of the address', () => {
    expect(addressProblem('169.254.169.254', closed)).toBe(
      '169.254.169.254 is a link-local address, which is never dialled',
    );
    expect(addressProblem('64:ff9b::a9fe:a9fe', closed)).toBe(
      '169.254.169.254 in 64:ff9b::a9fe:a9fe is a link-local address, which is never dialled',
    );
  });

  test('judges an IPv4 address the same in every IPv6 notation', () => {
    const spellings = (ip: string) => {
      const [a = 0, b = 0, c = 0, d = 0] = ip.split('.').map(Number);
      const groups = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
      return [`::ffff:${ip}`, `::ffff:${groups}`, `::ffff:0:${ip}`, `64:ff9b::${groups}`, `2002:${groups}::`];
    };
    fc.assert(
      fc.property(fc.ipV4(), fc.boolean(), (ip, allowLoopback) => {
        const refused = addressProblem(ip, { allowLoopback }) !== undefined;
        for (const spelling of spellings(ip)) {
          expect(addressProblem(spelling, { allowLoopback }) !== undefined, spelling).toBe(refused);
        }
      }),
    );
  });

  test('addressProblem never throws, for any text', () => {
    const ip = fc.oneof(fc.ipV6(), fc.ipV4(), fc.string());
    fc.assert(fc.property(ip, (text) => ['string', 'undefined'].includes(typeof addressProblem(text, closed))));
  });
});

describe('an address in DENIED_TARGETS', () => {
  const policy = { allowLoopback: true, deniedTargets: ['10.1.0.0/16', '192.0.2.7', 'fd12::/16', '127.0.0.2'] };

  test.each([
    '10.1.2.3',
    '192.0.2.7',
    'fd12:1::1',
    '127.0.0.2',
    '::ffff:10.1.2.3',
    '::10.1.2.3',
    '64:ff9b::10.1.2.3',
    '64:ff9b:1::10.1.2.3',
    '2002:a01:203::1',
    '2001:0:4136:e378:8000:63bf:f5fe:fdfc',
    'fd00::5efe:10.1.2.3',
  ])('never dials %s, which DENIED_TARGETS contains', (ip) => {
    expect(addressProblem(ip, policy)).toMatch(/ is an address in DENIED_TARGETS, which is never dialled$/);
    expect(hostProblem(ip.includes(':') ? `[${ip}]` : ip, policy)).toContain('DENIED_TARGETS');
  });

  test.each(['10.2.0.1', '192.0.2.8', 'fd13::1', '127.0.0.1', '64:ff9b::10.2.0.1'])(
    'allows %s, which DENIED_TARGETS does not contain',
    (ip) => {
      expect(addressProblem(ip, policy)).toBeUndefined();
    },
  );

  test('DENIED_TARGETS adds to the addresses that are always refused', () => {
    expect(addressProblem('169.254.169.254', policy)).toContain('a link-local address');
    expect(addressProblem('127.0.0.1', { ...policy, allowLoopback: false })).toContain('ALLOW_LOOPBACK_TARGETS');
  });
});

describe('hostProblem', () => {
  test.each([
    'http://2852039166/',
    'http://0xa9fea9fe/',
    'http://0251.0376.0251.0376/',
    'http://169.254.43518/',
    'http://169.254.169.254./',
    'http://%31%36%39.254.169.254/',
    'http://[::ffff:169.254.169.254]/',
    'http://[64:ff9b::169.254.169.254]/',
    'http://[fd00:ec2::254]/',
    'http://0/',
    'http://[::]/',
  ])('never dials the host of %s', (url) => {
    expect(hostProblem(new URL(url).hostname, open)).toContain('which is never dialled');
  });

  test.each([
    'http://localhost/',
    'http://LOCALHOST./',
    'http://api.localhost:6443/',
    'http://127.1/',
    'http://0x7f.1/',
    'http://[::1]/',
  ])('treats the host of %s as loopback', (url) => {
    expect(hostProblem(new URL(url).hostname, open)).toBeUndefined();
    expect(hostProblem(new URL(url).hostname, closed)).toContain('ALLOW_LOOPBACK_TARGETS=true');
  });

  test.each(['kubernetes.default.svc', 'notlocalhost', 'localhost.example.org', '10.0.0.1', '[fd12::1]'])(
    'allows the host %s (the address of a name is judged after it is resolved)',
    (host) => {
      expect(hostProblem(host, closed)).toBeUndefined();
    },
  );
});
