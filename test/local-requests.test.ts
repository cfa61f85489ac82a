import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import { isLocal } from '../src/server/authenticate.ts';

const from = (remoteAddress: string | undefined) =>
  isLocal({ headers: {}, httpVersion: '1.1', socket: { remoteAddress } } as IncomingMessage);

it.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])('treats a request from %s as local', (address) => {
  expect(from(address)).toBe(true);
});

it.each(['10.0.0.1', '192.0.2.127', '::ffff:10.0.0.1', 'fe80::1', '128.0.0.1', undefined])(
  'treats a request from %s as remote',
  (address) => {
    expect(from(address)).toBe(false);
  },
);
