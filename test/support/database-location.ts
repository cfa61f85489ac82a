import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { DatabaseLocation } from '../../src/storage/database.ts';

/** The database of PostgreSQL that the suite runs on (`npm run test:postgres`); undefined: SQLite, a file each. */
export const POSTGRES = process.env.TEST_DATABASE_URL;

/** What makes a server keep its registry where the suite runs: in PostgreSQL a schema for each data directory. */
export function databaseOf(dataDir: string): Record<string, string> {
  if (POSTGRES === undefined) return {};
  const digest = createHash('sha256').update(dataDir).digest();
  const url = new URL(POSTGRES);
  url.searchParams.set('schema', `test_${digest.toString('hex').slice(0, 24)}`);
  return { DATABASE_URL: url.href, SEAL_KEY: digest.toString('base64') };
}

/** Where the server of a data directory keeps its registry. */
export function locationOf(dataDir: string): DatabaseLocation {
  const { DATABASE_URL: url } = databaseOf(dataDir);
  return url === undefined ? { file: join(dataDir, 'kitestring.db') } : { url };
}
