import type { Database, DatabaseLocation } from './database.ts';

/** Opens the database and applies pending migrations. */
export async function openDatabase(location: DatabaseLocation, { isServer = false } = {}): Promise<Database> {
  // Imported lazily, so that only the driver in use is loaded.
  if (location.url !== undefined) return (await import('./postgres/database.ts')).openPostgres(location.url);
  return (await import('./sqlite/database.ts')).openSqliteDatabase(location.file, { isServer });
}
