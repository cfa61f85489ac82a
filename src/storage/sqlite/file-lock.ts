import { DatabaseSync } from 'node:sqlite';
import { isBusy, isRemoved } from './errors.ts';

/**
 * Acquires an exclusive SQLite lock on a lock file. The operating system releases it when the process ends in any way.
 * Returns undefined if another process holds the lock.
 */
export function takeFileLock(file: string): DatabaseSync | undefined {
  const lock = new DatabaseSync(file);
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if (!isBusy(error) && !isRemoved(error)) throw error;
    return undefined;
  }
}
