import { existsSync } from 'node:fs';
import type { Config } from '../config.ts';
import { type CoreServices, openCoreServices } from '../core-services.ts';
import { StartupError } from '../storage/startup-error.ts';

/** Returns the SQLite file. Throws if PostgreSQL is used; `instead` names its tool for the same task. */
export function sqliteFile({ database: { file } }: Config, instead: string): string {
  if (file !== undefined) return file;
  throw new StartupError(`DATABASE_URL is set: use ${instead} of PostgreSQL.`);
}

/** Throws if the data directory contains no database. Otherwise a mistyped DATA_DIR would get a new database. */
export function requireDatabase({ database: { file }, dataDir }: Config): void {
  if (file === undefined || existsSync(file)) return;
  throw new StartupError(`There is no database in ${dataDir}: set DATA_DIR to the data directory of the server.`);
}

/**
 * Opens a database, runs `work` and closes the database. A server may be running. With `warn`, prints warnings about
 * lost data to stderr.
 */
export async function withServices<T>(
  { database: location }: Pick<Config, 'database'>,
  work: (services: CoreServices) => Promise<T>,
  { warn = true } = {},
): Promise<T> {
  const services = await openCoreServices(location);
  if (warn) printWarnings(services.database.warnings);
  try {
    return await work(services);
  } finally {
    await services.database.close();
  }
}

/** Prints warnings to stderr, so that stdout contains only the output for scripts. */
export function printWarnings(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
}
