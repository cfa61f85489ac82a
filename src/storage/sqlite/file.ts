import { closeSync, openSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { backup, DatabaseSync, type DatabaseSyncOptions } from 'node:sqlite';
import { createDirectory } from '../directory.ts';
import { StartupError } from '../startup-error.ts';
import { isBusy } from './errors.ts';

/** Milliseconds that a change waits for another process's write lock before it fails. */
export const PATIENCE_MS = 5_000;

/** Creates the file with mode 600 if it does not exist. SQLite creates its -wal and -shm files with the same mode. */
export function createFile(file: string): void {
  try {
    createDirectory(dirname(file));
    closeSync(openSync(file, 'a', 0o600));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new StartupError(
      `The database ${file} cannot be written (${code}): make its directory writable, or set DATA_DIR.`,
      {
        cause: error,
      },
    );
  }
}

/** Opens a file with the required settings: WAL mode, a sync per commit and enforced foreign keys. */
export function openSqlite(file: string, options?: DatabaseSyncOptions): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: PATIENCE_MS, enableForeignKeyConstraints: true, ...options });
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    // SQLite waits for locks synchronously, which blocks the event loop. From here on SqliteConnection waits instead.
    database.exec('PRAGMA busy_timeout = 5;');
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

/** Whether another process has the file open. */
export function isInUse(file: string): boolean {
  const database = new DatabaseSync(file);
  try {
    // Every open connection in WAL mode holds a shared lock, so the exclusive lock is available only if there is none.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;');
    return false;
  } catch (error) {
    if (!isBusy(error)) throw error;
    return true;
  } finally {
    database.close();
  }
}

/** Copies a consistent snapshot of the database, even while others write to it. The copy is created atomically. */
export async function backupFile(file: string, copy: string): Promise<void> {
  if (statSync(copy, { throwIfNoEntry: false })?.ino === statSync(file).ino)
    throw new Error(`${copy} is the database itself: choose another file for the backup`);
  const partial = `${copy}.partial`;
  await rm(partial, { force: true });
  closeSync(openSync(partial, 'wx', 0o600));
  const source = openSqlite(file);
  try {
    // Copies all pages in one step. A backup in several steps starts over after each write by another process.
    await backup(source, partial, { rate: 2 ** 30 });
    checkIntegrity(partial);
    await rename(partial, copy);
  } finally {
    source.close();
    await rm(partial, { force: true });
  }
}

/** Throws if the database file is damaged. Reads the whole file. */
export function checkIntegrity(file: string): void {
  const database = new DatabaseSync(file);
  try {
    const [found] = database.prepare('PRAGMA integrity_check(1)').all();
    if (found?.integrity_check !== 'ok') throw new Error(`${file} is damaged: ${found?.integrity_check}`);
  } finally {
    database.close();
  }
}
