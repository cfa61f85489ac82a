import { expect, it } from 'vitest';
import { isLoopback, isRange, networkOf, parseAddress, rangeMatcher } from '../src/ip-address.ts';

it.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '0:0:0:0:0:0:0:1', '::1%lo'])(
  '%s is a loopback address',
  (text) => expect(isLoopback(text)).toBe(true),
);

it.each([
  '',
  '127.1',
  '0x7f.0.0.1',
  '2130706433',
  '017700000001',
  '127.0.0.1.',
  '128.0.0.1',
  '::2',
  '127.0.0.1.example',
  '::ffff:128.0.0.1',
])('%j is not a loopback address', (text) => expect(isLoopback(text)).toBe(false));

it.each([
  ['::ffff:192.0.2.1', '192.0.2.1', '192.0.2.1'],
  ['::FFFF:C000:0201', '192.0.2.1', '192.0.2.1'],
  ['2001:0DB8:0:1:0:0:0:1', '2001:db8:0:1::1', '2001:db8:0:1::/64'],
  ['fe80::1%eth0', 'fe80::1', 'fe80:0:0:0::/64'],
  ['::', '::', '0:0:0:0::/64'],
])('every notation of an address has one text and one network: %s', (text, short, network) => {
  expect(parseAddress(text)).toMatchObject({ text: short, network });
  expect(networkOf(text)).toBe(network);
});

it('a text that is not an address is its own network', () => {
  for (const text of ['', 'localhost', '1.2.3'])
    expect([parseAddress(text), networkOf(text)]).toEqual([undefined, text]);
});

it.each(['10.0.0.0/8', '10.1.2.3', '::/0', '2001:db8::/32', '0.0.0.0/0', '::ffff:10.0.0.0/104'])(
  '%s is a range',
  (text) => {
    expect(isRange(text)).toBe(true);
  },
);

it.each(['', '10.0.0.0/33', '::/129', '10.0.0.0/8/8', '10/8', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/1e1', 'a/8'])(
  '%j is not a range',
  (text) => expect(isRange(text)).toBe(false),
);

it('a range contains the addresses of its network in every notation, and no others', () => {
  const isIn = (text: string, ...ranges: string[]) => {
    const address = parseAddress(text);
    return address !== undefined && rangeMatcher(ranges)(address);
  };
  for (const text of ['10.9.9.9', '::ffff:10.9.9.9', '::ffff:a09:909'])
    for (const range of ['10.0.0.0/8', '10.9.9.9', '::ffff:10.0.0.0/104', '0.0.0.0/0'])
      expect(isIn(text, range)).toBe(true);
  expect(isIn('11.0.0.0', '10.0.0.0/8')).toBe(false);
  // An IPv4 range does not cover IPv6.
  expect(isIn('2001:db8::1', '0.0.0.0/0')).toBe(false);
  expect(isIn('2001:db8::1', '10.0.0.0/8', '2001:db8::/32')).toBe(true);
  expect(isIn('2001:db9::1', '10.0.0.0/8', '2001:db8::/32')).toBe(false);
});
