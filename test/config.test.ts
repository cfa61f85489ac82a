import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../src/config.ts';
import { addressProblem } from '../src/kubernetes/transport/address.ts';
import { StartupError } from '../src/storage/startup-error.ts';
import { temporaryDirectory } from './support/directory.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');

function startupErrorOf(environment: Record<string, string>): string {
  try {
    readConfig(environment);
  } catch (error) {
    expect(error).toBeInstanceOf(StartupError);
    return (error as StartupError).message;
  }
  throw new Error('the configuration was accepted');
}

describe('the default configuration', () => {
  it('the default configuration listens on loopback, stores data in ./data and allows nothing dangerous', () => {
    expect(readConfig({})).toEqual({
      ...{ host: '127.0.0.1', loopback: true, port: 8080, dataDir: join(process.cwd(), 'data') },
      database: { file: join(process.cwd(), 'data', 'kitestring.db') },
      ...{ sealKey: undefined, adminApiKey: undefined, importKubeconfig: undefined },
      ...{ allowedOrigins: [], allowedHosts: [], maxBody: 4 * 1024 * 1024, logLevel: 'info' },
      ...{ trustedProxies: [], graphqlCostPerMinute: 10_000_000, kiteUiDir: undefined },
      keepAliveMs: 75_000,
      ...{ auditRetentionDays: 365, openId: [] },
      metrics: { host: '127.0.0.1', port: 9464, isConfigured: false, loopback: true },
      inCluster: { host: undefined, port: undefined },
      policy: { allowLoopback: true, allowHttp: false, allowInsecureTls: false, allowProxy: false },
    });
  });

  it('the configuration is frozen', () => {
    const config = readConfig({});
    expect(Object.isFrozen(config) && Object.isFrozen(config.policy)).toBe(true);
  });

  it('an empty variable counts as unset', () => {
    const names = ['HOST', 'PORT', 'DATA_DIR', 'SEAL_KEY', 'SEAL_KEY_FILE', 'ADMIN_API_KEY', 'DATABASE_URL'];
    expect(readConfig(Object.fromEntries(names.map((name) => [name, ''])))).toEqual(readConfig({}));
  });
});

describe('an invalid variable', () => {
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
    ['ALLOWED_HOSTS', 'https://console.example.com'],
    ['ALLOWED_HOSTS', 'console.example.com/path'],
    ['ALLOW_LOOPBACK_TARGETS', '1'],
    ['ALLOW_HTTP_TARGETS', 'yes'],
    ['ALLOW_INSECURE_TLS', 'on'],
    ['ALLOW_TARGET_PROXY', 'TRUE'],
  ])('rejects %s=%s with one sentence that names the variable', (name, value) => {
    expect(startupErrorOf({ [name]: value })).toMatch(new RegExp(`^${name} must be [^\n]+\\.$`));
  });

  it('requires a seal key with DATABASE_URL, because all replicas must share it', () => {
    const url = 'postgresql://kitestring:canary-password@db/kitestring';
    expect(startupErrorOf({ DATABASE_URL: url })).toMatch(/^DATABASE_URL is set, [^\n]+set SEAL_KEY [^\n]+\.$/);
    expect(startupErrorOf({ DATABASE_URL: url })).not.toContain('canary');
  });
});

describe('DENIED_TARGETS', () => {
  it('DENIED_TARGETS becomes part of the policy that judges every address', () => {
    const { policy } = readConfig({ DENIED_TARGETS: '10.0.0.0/8, fd12::/16' });
    expect(policy.deniedTargets).toEqual(['10.0.0.0/8', 'fd12::/16']);
    expect(addressProblem('::ffff:10.1.2.3', policy)).toContain('DENIED_TARGETS');
  });
});

describe('HOST', () => {
  it.each(['127.0.0.1', '127.8.9.10', 'localhost', '::1', '[::1]'])(
    'HOST %s is loopback and needs no seal key',
    (HOST) => {
      expect(readConfig({ HOST }).loopback).toBe(true);
    },
  );

  it.each(['0.0.0.0', '::', '10.0.0.1', 'kitestring.internal', '127.0.0.1.example.com', '::ffff:10.0.0.1'])(
    'HOST %s is not loopback and needs SEAL_KEY',
    (HOST) => {
      expect(startupErrorOf({ HOST })).toMatch(/set SEAL_KEY/);
      const config = readConfig({ HOST, SEAL_KEY: KEY });
      expect([config.loopback, config.policy.allowLoopback]).toEqual([false, false]);
      expect(readConfig({ HOST, SEAL_KEY: KEY, ALLOW_LOOPBACK_TARGETS: 'true' }).policy.allowLoopback).toBe(true);
    },
  );
});

describe('a secret variable', () => {
  it.each([
    ['SEAL_KEY', 'sealKey'],
    ['ADMIN_API_KEY', 'adminApiKey'],
  ] as const)('reads %s from a file', async (name, field) => {
    const file = join(await temporaryDirectory(), 'secret');
    await writeFile(file, 'the secret\n');
    expect(readConfig({ [`${name}_FILE`]: file })[field]).toBe('the secret');
    expect(startupErrorOf({ [`${name}_FILE`]: file, [name]: 'canary' })).toMatch(/both set: unset one/);
  });

  it('rejects a secret file that is empty or unreadable, even if the secret is optional', async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, 'empty');
    await writeFile(file, ' \n');
    expect(startupErrorOf({ SEAL_KEY_FILE: file })).toMatch(/^SEAL_KEY_FILE names .* is empty: /);
    expect(startupErrorOf({ SEAL_KEY_FILE: file, HOST: '0.0.0.0' })).toMatch(/is empty/);
    expect(startupErrorOf({ ADMIN_API_KEY_FILE: join(directory, 'none') })).toMatch(/cannot be read \(ENOENT\)/);
    expect(startupErrorOf({ ADMIN_API_KEY_FILE: directory })).toMatch(/cannot be read \(EISDIR\)/);
  });

  it('only secrets can be read from a file', async () => {
    const file = join(await temporaryDirectory(), 'port');
    await writeFile(file, '1234');
    expect(readConfig({ PORT_FILE: file }).port).toBe(8080);
  });
});
