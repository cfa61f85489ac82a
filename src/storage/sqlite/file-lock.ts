import { DatabaseSync } from 'node:sqlite';
import { isBusy, isRemoved } from './errors.ts';

/** SQLite's lock of a file of its own: it ends with the process, however that ends. Undefined while another process has it. */
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
