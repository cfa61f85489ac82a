import { rmSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import {
  type AppliedMigration,
  applyMigrations,
  migrationsFolder,
  parseAppliedMigrations,
  pendingMigrations,
  SELECT_APPLIED_MIGRATIONS,
  waitForMigrationLock,
} from '../migrations.ts';
import { SqliteConnection } from './connection.ts';
import { takeFileLock } from './file-lock.ts';

const DIALECT = {
  createHistory: `CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    "id"                    TEXT PRIMARY KEY NOT NULL,
    "checksum"              TEXT NOT NULL,
    "finished_at"           DATETIME,
    "migration_name"        TEXT NOT NULL,
    "logs"                  TEXT,
    "rolled_back_at"        DATETIME,
    "started_at"            DATETIME NOT NULL DEFAULT current_timestamp,
    "applied_steps_count"   INTEGER UNSIGNED NOT NULL DEFAULT 0
)`,
  now: "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
};

/** Applies pending migrations. A lock file makes processes that start at the same time migrate one after another. */
export async function migrate(
  file: string,
  database: DatabaseSync,
  folder = migrationsFolder('sqlite'),
): Promise<void> {
  const findPending = () => pendingMigrations(folder, appliedMigrations(database));
  if ((await findPending()).length === 0) return;
  const lockFile = `${file}-migrating`;
  using _lock = await waitForMigrationLock(() => takeFileLock(lockFile), 20);
  const connection = new SqliteConnection(file);
  try {
    await applyMigrations(await findPending(), DIALECT, (script) => connection.executeScript(script));
    // Safe only after the migrations: a process that creates a new lock file from here on finds nothing pending.
    rmSync(lockFile, { force: true });
  } finally {
    await connection.dispose();
  }
}

/** Reads the migrations that were applied to the file. Returns an empty list if the file is empty. */
export function appliedMigrations(database: DatabaseSync): AppliedMigration[] {
  const table = database.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_prisma_migrations'");
  if (!table.get()) return [];
  return parseAppliedMigrations(database.prepare(SELECT_APPLIED_MIGRATIONS).all());
}
