import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { type Database, openDatabase } from '../storage/database.ts';
import { StartupError } from '../storage/startup-error.ts';

/** The file of the registry; refused for a command that works on files, where PostgreSQL keeps it. */
export function databaseFile({ database }: Config, instead: string): string {
  if ('file' in database) return database.file;
  throw new StartupError(`DATABASE_URL is given: use ${instead} of PostgreSQL.`);
}

/** The file of the keys that seal kubeconfigs, where SEAL_KEY is not given. */
export function keyFile({ dataDir }: Config): string {
  return join(dataDir, 'seal-keys');
}

/** Refuses a data directory without a database: a mistyped DATA_DIR would otherwise get a new one. */
export function requireDatabase(config: Config): void {
  if (!('file' in config.database) || existsSync(config.database.file)) return;
  throw new StartupError(`There is no database in ${config.dataDir}: set DATA_DIR to that of the server.`);
}

/** Works with the database, beside a running server or without one, and closes it. `warn`: says what is missing in it. */
export async function withDatabase<T>(
  config: Config,
  work: (database: Database) => Promise<T>,
  { warn = true } = {},
): Promise<T> {
  const database = await openDatabase(config.database);
  if (warn) tellWarnings(database.warnings);
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** On stderr: what a script takes stands on stdout alone. */
export function tellWarnings(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
}
