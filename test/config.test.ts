import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../src/config.ts';
import { judgeAddress } from '../src/kubernetes/address.ts';
import { StartupError } from '../src/storage/startup-error.ts';
import { temporaryDirectory } from './support/directory.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');

function refusalOf(environment: Record<string, string>): string {
  try {
    readConfig(environment);
  } catch (error) {
    expect(error).toBeInstanceOf(StartupError);
    return (error as StartupError).message;
  }
  throw new Error('the configuration was accepted');
}

describe('without any variable', () => {
  it('it listens on loopback, keeps its data in ./data and allows nothing that is dangerous', () => {
    expect(readConfig({})).toEqual({
      ...{ host: '127.0.0.1', loopback: true, port: 8080, dataDir: join(process.cwd(), 'data') },
      database: { file: join(process.cwd(), 'data', 'kitestring.db') },
      ...{ sealKey: undefined, adminApiKey: undefined, importKubeconfig: undefined },
      ...{ allowedOrigins: [], allowedHosts: [], maxBody: 4 * 1024 * 1024, logLevel: 'info' },
      ...{ trustedProxies: [], graphqlCostPerMinute: 10_000_000, kiteUiDir: undefined },
      keepAliveMs: 75_000,
      ...{ auditRetentionDays: 365, openId: [] },
      metrics: { host: '127.0.0.1', port: 9464, asked: false, loopback: true },
      inCluster: { host: undefined, port: undefined },
      policy: { allowLoopback: true, allowHttp: false, allowInsecureTls: false, allowProxy: false },
    });
  });

  it('it is frozen', () => {
    const config = readConfig({});
    expect(Object.isFrozen(config) && Object.isFrozen(config.policy)).toBe(true);
  });

  it('an empty variable counts as unset', () => {
    const names = ['HOST', 'PORT', 'DATA_DIR', 'SEAL_KEY', 'SEAL_KEY_FILE', 'ADMIN_API_KEY', 'DATABASE_URL'];
    expect(readConfig(Object.fromEntries(names.map((name) => [name, ''])))).toEqual(readConfig({}));
  });
});

describe('a wrong variable', () => {
  it.each([
    ['PORT', 'http'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['MAX_BODY', '10'],
    ['MAX_BODY', '4MiB'],
    ['LOG_LEVEL', 'loud'],
    ['TRUSTED_PROXIES', 'proxy.internal'],
    ['TRUSTED_PROXIES', '10.0.0.1,10.0.0.0/33'],
    ['TRUSTED_PROXIES', '10.0.0.0/8/8'],
    ['TRUSTED_PROXIES', '::1/129'],
    ['DENIED_TARGETS', 'metadata.internal'],
    ['DENIED_TARGETS', '10.0.0.0/8,10.0.0.0/33'],
    ['GRAPHQL_COST_PER_MINUTE', '-1'],
    ['ALLOWED_ORIGINS', 'https://console.example.com/'],
    ['ALLOWED_ORIGINS', '*'],
    ['ALLOW_LOOPBACK_TARGETS', '1'],
    ['ALLOW_HTTP_TARGETS', 'yes'],
    ['ALLOW_INSECURE_TLS', 'on'],
    ['ALLOW_TARGET_PROXY', 'TRUE'],
  ])('%s=%s is refused with one sentence that names it', (name, value) => {
    expect(refusalOf({ [name]: value })).toMatch(new RegExp(`^${name} must be [^\n]+\\.$`));
  });

  it('DATABASE_URL needs a key that is given: replicas share what it seals', () => {
    const url = 'postgresql://kitestring:canary-password@db/kitestring';
    expect(refusalOf({ DATABASE_URL: url })).toMatch(/^DATABASE_URL is given, [^\n]+set SEAL_KEY [^\n]+\.$/);
    expect(refusalOf({ DATABASE_URL: url })).not.toContain('canary');
  });
});

describe('DENIED_TARGETS', () => {
  it('becomes part of the policy by which every address is judged', () => {
    const { policy } = readConfig({ DENIED_TARGETS: '10.0.0.0/8, fd12::/16' });
    expect(policy.deniedTargets).toEqual(['10.0.0.0/8', 'fd12::/16']);
    expect(judgeAddress('::ffff:10.1.2.3', policy)).toContain('DENIED_TARGETS');
  });
});

describe('HOST', () => {
  it.each(['127.0.0.1', '127.8.9.10', 'localhost', '::1', '[::1]'])('%s is loopback and needs no key', (HOST) => {
    expect(readConfig({ HOST }).loopback).toBe(true);
  });

  it.each(['0.0.0.0', '::', '10.0.0.1', 'kitestring.internal', '127.0.0.1.example.com', '::ffff:10.0.0.1'])(
    '%s is not, and needs SEAL_KEY',
    (HOST) => {
      expect(refusalOf({ HOST })).toMatch(/set SEAL_KEY/);
      const config = readConfig({ HOST, SEAL_KEY: KEY });
      expect([config.loopback, config.policy.allowLoopback]).toEqual([false, false]);
      expect(readConfig({ HOST, SEAL_KEY: KEY, ALLOW_LOOPBACK_TARGETS: 'true' }).policy.allowLoopback).toBe(true);
    },
  );
});

describe('a secret', () => {
  it.each([
    ['SEAL_KEY', 'sealKey'],
    ['ADMIN_API_KEY', 'adminApiKey'],
  ] as const)('%s can be given in a file', async (name, field) => {
    const file = join(await temporaryDirectory(), 'secret');
    await writeFile(file, 'the secret\n');
    expect(readConfig({ [`${name}_FILE`]: file })[field]).toBe('the secret');
    expect(refusalOf({ [`${name}_FILE`]: file, [name]: 'canary' })).toMatch(/both set: unset one/);
  });

  it('of a file that is empty or cannot be read is refused, also where it would be optional', async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, 'empty');
    await writeFile(file, ' \n');
    expect(refusalOf({ SEAL_KEY_FILE: file })).toMatch(/^SEAL_KEY_FILE names .* is empty: /);
    expect(refusalOf({ SEAL_KEY_FILE: file, HOST: '0.0.0.0' })).toMatch(/is empty/);
    expect(refusalOf({ ADMIN_API_KEY_FILE: join(directory, 'none') })).toMatch(/cannot be read \(ENOENT\)/);
    expect(refusalOf({ ADMIN_API_KEY_FILE: directory })).toMatch(/cannot be read \(EISDIR\)/);
  });

  it('is the only kind of variable that a file can hold', async () => {
    const file = join(await temporaryDirectory(), 'port');
    await writeFile(file, '1234');
    expect(readConfig({ PORT_FILE: file }).port).toBe(8080);
  });
});
