import { existsSync, readdirSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { StartupError } from '../startup-error.ts';
import { takeFileLock } from './file-lock.ts';

/** The prefix of a restore's temporary directory. mkdtemp appends six random characters. */
const PREFIX = 'restore-in-progress-';
const DIRECTORY_NAME = new RegExp(`^${PREFIX}[A-Za-z0-9]{6}$`);
/** The lock file. Only the process that holds its lock may restore or remove temporary directories of restores. */
const LOCK = 'restore.lock';

/**
 * Runs `work` with a temporary directory in the data directory and removes it afterwards. First removes directories
 * that killed restores left behind. Throws a StartupError while another process restores.
 */
export async function withRestoreDirectory<T>(dataDir: string, work: (directory: string) => Promise<T>): Promise<T> {
  const lock = takeFileLock(join(dataDir, LOCK));
  if (!lock) throw new StartupError('Another restore is running: wait until it has finished, then restore again.');
  try {
    removeDirectories(dataDir);
    const directory = await mkdtemp(join(dataDir, PREFIX));
    try {
      return await work(directory);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  } finally {
    release(dataDir, lock);
  }
}

/**
 * Removes the directories of killed restores, unless a restore is running. Returns the names of the removed
 * directories.
 */
export function removeAbandonedRestores(dataDir: string): string[] {
  if (!existsSync(join(dataDir, LOCK))) return [];
  const lock = takeFileLock(join(dataDir, LOCK));
  if (!lock) return [];
  try {
    return removeDirectories(dataDir);
  } finally {
    release(dataDir, lock);
  }
}

function removeDirectories(dataDir: string): string[] {
  const entries = readdirSync(dataDir, { withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isDirectory() && DIRECTORY_NAME.test(entry.name))
    .map(({ name }) => name);
  for (const name of names) rmSync(join(dataDir, name), { recursive: true, force: true });
  return names;
}

/**
 * Deletes the lock file, then releases the lock. A process that creates a new lock file in between finds nothing to
 * remove.
 */
function release(dataDir: string, lock: DatabaseSync): void {
  rmSync(join(dataDir, LOCK), { force: true });
  lock.close();
}
