import { rmSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import type { SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils';
import {
  type AppliedMigration,
  applyMigrations,
  migratedBy,
  parseAppliedMigrations,
  pendingMigrations,
  SELECT_APPLIED_MIGRATIONS,
  waitForMigrationLock,
} from '../migrations.ts';
import { SqliteConnection } from './connection.ts';
import { takeFileLock } from './file-lock.ts';

/** Applies pending migrations. A lock file makes processes that start at the same time migrate one after another. */
export async function migrate(file: string, database: DatabaseSync, folder?: string): Promise<void> {
  const shipped = migratedBy('sqlite', sqliteForSchemaEngine(file));
  const sqlite = { ...shipped, folder: folder ?? shipped.folder };
  if ((await pendingMigrations(sqlite.folder, appliedMigrations(database))).length === 0) return;
  const lockFile = `${file}-migrating`;
  const lock = await waitForMigrationLock(() => takeFileLock(lockFile), 20);
  try {
    const applied = appliedMigrations(database);
    if ((await pendingMigrations(sqlite.folder, applied)).length > 0) await applyMigrations(sqlite, applied);
    // Safe only after the migrations: a process that creates a new lock file from here on finds nothing pending.
    rmSync(lockFile, { force: true });
  } finally {
    lock.close();
  }
}

/** Reads the migrations that were applied to the file. Returns an empty list if the file is empty. */
export function appliedMigrations(database: DatabaseSync): AppliedMigration[] {
  const table = database.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_prisma_migrations'");
  if (!table.get()) return [];
  return parseAppliedMigrations(database.prepare(SELECT_APPLIED_MIGRATIONS).all());
}

// The schema engine writes strings in double quotes, which SQLite treats as column names without this option.
const ENGINE_OPTIONS = { enableDoubleQuotedStringLiterals: true };

/** Creates the connections of Prisma's schema engine. The caller must hold a lock that excludes other migrations. */
export function sqliteForSchemaEngine(file: string): SqlMigrationAwareDriverAdapterFactory {
  return {
    provider: 'sqlite',
    adapterName: 'node:sqlite',
    async connect() {
      const connection = new SqliteConnection(file, ENGINE_OPTIONS);
      const execute = connection.executeRaw.bind(connection);
      // Skips the engine's own lock: it would wait for every other process to close the file, and the engine never
      // releases it.
      connection.executeRaw = async (query) => (query.sql.includes('locking_mode=EXCLUSIVE') ? 0 : execute(query));
      return connection;
    },
    async connectToShadowDb() {
      const shadow = new SqliteConnection(':memory:', ENGINE_OPTIONS);
      // The engine passes whole scripts to the method for single statements.
      shadow.executeRaw = async ({ sql }) => {
        await shadow.executeScript(sql);
        return 0;
      };
      return shadow;
    },
  };
}
