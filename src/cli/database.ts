import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { type Database, openDatabase } from '../storage/database.ts';
import { StartupError } from '../storage/startup-error.ts';

/** The file of the registry. */
export function databaseFile({ dataDir }: Config): string {
  return join(dataDir, 'kitestring.db');
}

/** The file of the keys that seal kubeconfigs, where SEAL_KEY is not given. */
export function keyFile({ dataDir }: Config): string {
  return join(dataDir, 'seal-keys');
}

/** Refuses a data directory without a database: a mistyped DATA_DIR would otherwise get a new one. */
export function requireDatabase(config: Config): void {
  if (existsSync(databaseFile(config))) return;
  throw new StartupError(`There is no database in ${config.dataDir}: set DATA_DIR to that of the server.`);
}

/** Works with the database, beside a running server or without one, and closes it. */
export async function withDatabase<T>(config: Config, work: (database: Database) => Promise<T>): Promise<T> {
  const database = await openDatabase({ file: databaseFile(config) });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}
