import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import { isLocal } from '../src/server/authenticate.ts';

const from = (remoteAddress: string | undefined) =>
  isLocal({ headers: {}, httpVersion: '1.1', socket: { remoteAddress } } as IncomingMessage);

it.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])(
  'takes a request from %s for one of this machine',
  (address) => {
    expect(from(address)).toBe(true);
  },
);

it.each(['10.0.0.1', '192.0.2.127', '::ffff:10.0.0.1', 'fe80::1', '128.0.0.1', undefined])(
  'takes a request from %s for one of another machine',
  (address) => {
    expect(from(address)).toBe(false);
  },
);
