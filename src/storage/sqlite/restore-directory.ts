import { existsSync, readdirSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { StartupError } from '../startup-error.ts';
import { takeFileLock } from './file-lock.ts';

/** What the name of a restore's own directory begins with; six characters follow, which mkdtemp chooses. */
const PREFIX = 'restore-in-progress-';
const OWN = new RegExp(`^${PREFIX}[A-Za-z0-9]{6}$`);
/** The process that holds the lock of this file restores, and owns every directory of such a name. */
const LOCK = 'restore.lock';

/**
 * Runs `work` with a new directory in the data directory, which is removed afterwards, as is each that a killed restore
 * has left. Refused while another process restores.
 */
export async function withRestoreDirectory<T>(dataDir: string, work: (directory: string) => Promise<T>): Promise<T> {
  const lock = takeFileLock(join(dataDir, LOCK));
  if (!lock) throw new StartupError('Another restore is running: wait until it has ended, then restore again.');
  try {
    removeOwn(dataDir);
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

/** Removes what killed restores have left, unless one is running; gives the names of the removed directories. */
export function removeAbandonedRestores(dataDir: string): string[] {
  if (!existsSync(join(dataDir, LOCK))) return [];
  const lock = takeFileLock(join(dataDir, LOCK));
  if (!lock) return [];
  try {
    return removeOwn(dataDir);
  } finally {
    release(dataDir, lock);
  }
}

function removeOwn(dataDir: string): string[] {
  const entries = readdirSync(dataDir, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory() && OWN.test(entry.name)).map(({ name }) => name);
  for (const name of names) rmSync(join(dataDir, name), { recursive: true, force: true });
  return names;
}

/** The file goes first: a process that finds it gone makes another, and finds nothing to remove. */
function release(dataDir: string, lock: DatabaseSync): void {
  rmSync(join(dataDir, LOCK), { force: true });
  lock.close();
}
