import { rmSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import type { SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils';
import {
  APPLIED,
  type AppliedMigration,
  appliedOf,
  applyMigrations,
  migratedBy,
  pendingMigrations,
  waitForMigrationLock,
} from '../migrations.ts';
import { SqliteConnection } from './connection.ts';
import { takeFileLock } from './file-lock.ts';

/** Brings the file to this version's models. Processes that start at once take turns. */
export async function migrate(file: string, database: DatabaseSync, folder?: string): Promise<void> {
  const shipped = migratedBy('sqlite', sqliteForSchemaEngine(file));
  const sqlite = { ...shipped, folder: folder ?? shipped.folder };
  if ((await pendingMigrations(sqlite.folder, appliedMigrations(database))).length === 0) return;
  const lockFile = `${file}-migrating`;
  const lock = await waitForMigrationLock(() => takeFileLock(lockFile), 20);
  try {
    const applied = appliedMigrations(database);
    if ((await pendingMigrations(sqlite.folder, applied)).length > 0) await applyMigrations(sqlite, applied);
    // Only now: whoever takes a new lock from here on finds nothing pending.
    rmSync(lockFile, { force: true });
  } finally {
    lock.close();
  }
}

/** The migrations that a file has; none where it is empty. */
export function appliedMigrations(database: DatabaseSync): AppliedMigration[] {
  const table = database.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_prisma_migrations'");
  if (!table.get()) return [];
  return appliedOf(database.prepare(APPLIED).all());
}

// The schema engine asks for names in double quotes, which SQLite otherwise takes for columns.
const ENGINE = { enableDoubleQuotedStringLiterals: true };

/** The connections of Prisma's schema engine; whoever uses them keeps other migrations out by a lock of their own. */
export function sqliteForSchemaEngine(file: string): SqlMigrationAwareDriverAdapterFactory {
  return {
    provider: 'sqlite',
    adapterName: 'node:sqlite',
    async connect() {
      const connection = new SqliteConnection(file, ENGINE);
      const execute = connection.executeRaw.bind(connection);
      // The engine's lock would wait for every other process to close the file, and outlive the engine.
      connection.executeRaw = async (query) => (query.sql.includes('locking_mode=EXCLUSIVE') ? 0 : execute(query));
      return connection;
    },
    async connectToShadowDb() {
      const shadow = new SqliteConnection(':memory:', ENGINE);
      // The engine sends whole scripts as statements.
      shadow.executeRaw = async ({ sql }) => {
        await shadow.executeScript(sql);
        return 0;
      };
      return shadow;
    },
  };
}
