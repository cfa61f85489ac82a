import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { DatabaseLocation } from '../../src/storage/database.ts';

/**
 * The PostgreSQL database that the suite runs on (`npm run test:postgres`); undefined: each test uses its own SQLite
 * file.
 */
export const POSTGRES = process.env.TEST_DATABASE_URL;

/**
 * The environment that makes a server store its registry where the suite runs: on PostgreSQL, one schema per data
 * directory.
 */
export function databaseOf(dataDir: string): Record<string, string> {
  if (POSTGRES === undefined) return {};
  const digest = createHash('sha256').update(dataDir).digest();
  const url = new URL(POSTGRES);
  url.searchParams.set('schema', `test_${digest.toString('hex').slice(0, 24)}`);
  return { DATABASE_URL: url.href, SEAL_KEY: digest.toString('base64') };
}

/** The location of the registry of a data directory's server. */
export function locationOf(dataDir: string): DatabaseLocation {
  const { DATABASE_URL: url } = databaseOf(dataDir);
  return url === undefined ? { file: join(dataDir, 'kitestring.db') } : { url };
}
