import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import type { Database } from '../storage/database.ts';
import { openDatabase } from '../storage/open-database.ts';
import { StartupError } from '../storage/startup-error.ts';

/** Returns the SQLite file. Throws if PostgreSQL is used; `instead` names its tool for the same task. */
export function databaseFile({ database }: Config, instead: string): string {
  if ('file' in database) return database.file;
  throw new StartupError(`DATABASE_URL is set: use ${instead} of PostgreSQL.`);
}

/** The key file, which is used if SEAL_KEY is not set. */
export function keyFile({ dataDir }: Config): string {
  return join(dataDir, 'seal-keys');
}

/** Throws if the data directory contains no database. Otherwise a mistyped DATA_DIR would get a new database. */
export function requireDatabase(config: Config): void {
  if (!('file' in config.database) || existsSync(config.database.file)) return;
  throw new StartupError(
    `There is no database in ${config.dataDir}: set DATA_DIR to the data directory of the server.`,
  );
}

/**
 * Opens the database, runs `work` and closes the database. A server may be running. With `warn`, prints warnings about
 * lost data to stderr.
 */
export async function withDatabase<T>(
  config: Config,
  work: (database: Database) => Promise<T>,
  { warn = true } = {},
): Promise<T> {
  const database = await openDatabase(config.database);
  if (warn) printWarnings(database.warnings);
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** Prints warnings to stderr, so that stdout contains only the output for scripts. */
export function printWarnings(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
}
