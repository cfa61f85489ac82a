import { closeSync, openSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { backup, DatabaseSync, type DatabaseSyncOptions } from 'node:sqlite';
import { makeDirectory } from '../directory.ts';
import { StartupError } from '../startup-error.ts';
import { isBusy } from './errors.ts';

/** How long another process may hold the write lock before a change is refused. */
export const PATIENCE_MS = 5_000;

/** Makes sure that there is a file which only its owner reads. SQLite gives its companions the same mode. */
export function createFile(file: string): void {
  try {
    makeDirectory(dirname(file));
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

/** Opens a file in the mode everything here relies on: WAL, each commit synced, foreign keys held. */
export function openSqlite(file: string, options?: DatabaseSyncOptions): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: PATIENCE_MS, enableForeignKeyConstraints: true, ...options });
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    // SQLite waits inside its call and holds up the event loop: from here on the waiting is ours.
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
    // Whoever has it open keeps a share of its lock: all of it is to be had only while nobody does.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;');
    return false;
  } catch (error) {
    if (!isBusy(error)) throw error;
    return true;
  } finally {
    database.close();
  }
}

/** Copies the database as it is at one moment, while others write; the copy appears whole or not at all. */
export async function backupFile(file: string, copy: string): Promise<void> {
  if (statSync(copy, { throwIfNoEntry: false })?.ino === statSync(file).ino)
    throw new Error(`${copy} is the database itself: name another file for its backup`);
  const partial = `${copy}.partial`;
  await rm(partial, { force: true });
  closeSync(openSync(partial, 'wx', 0o600));
  const source = openSqlite(file);
  try {
    // In one step: a backup in several starts over whenever somebody writes.
    await backup(source, partial, { rate: 2 ** 30 });
    checkIntegrity(partial);
    await rename(partial, copy);
  } finally {
    source.close();
    await rm(partial, { force: true });
  }
}

/** Throws when the file is damaged. Reads all of it. */
export function checkIntegrity(file: string): void {
  const database = new DatabaseSync(file);
  try {
    const [found] = database.prepare('PRAGMA integrity_check(1)').all();
    if (found?.integrity_check !== 'ok') throw new Error(`${file} is damaged: ${found?.integrity_check}`);
  } finally {
    database.close();
  }
}
