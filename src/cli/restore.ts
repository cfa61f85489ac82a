import { statSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { type CoreServices, loadSeal } from '../core-services.ts';
import { systemCaller } from '../domain/access/system-caller.ts';
import { record } from '../domain/audit/record.ts';
import { resetRestoredStatuses } from '../domain/cluster-status.ts';
import { checkBackup } from '../storage/sqlite/backup-file.ts';
import { createFile } from '../storage/sqlite/file.ts';
import { warnOfWal } from '../storage/sqlite/loss.ts';
import { restoreInto } from '../storage/sqlite/restore.ts';
import { withRestoreDirectory } from '../storage/sqlite/restore-directory.ts';
import { StartupError } from '../storage/startup-error.ts';
import { command } from './command.ts';
import { sqliteFile, withServices } from './database.ts';

export const restore = command({
  positionals: ['FILE'],
  about: 'replaces the content of the database with a backup; a server may be running',
  options: {},
  run: async ({ config, positionals: [name] }) => {
    const database = sqliteFile(config, 'pg_restore');
    const file = resolve(name);
    createFile(database);
    return withRestoreDirectory(config.dataDir, async (directory) => {
      const copy = join(directory, 'backup.db');
      await copyBackup(database, file, copy);
      await prepare(config, copy);
      const at = new Date();
      const restored = ({ database }: CoreServices) =>
        restoreInto(database, copy, async (tx, { disabled, revoked }) => {
          // Delete all sessions: the backup contains sessions that have ended since.
          await tx.session.deleteMany();
          const [clusters, keys] = [await tx.cluster.count(), await tx.apiKey.count()];
          const changes = {
            ...{ clusters: { to: clusters }, apiKeys: { to: keys } },
            ...{ disabled: { to: disabled }, revoked: { to: revoked } },
          };
          await record(tx, systemCaller('command line'), { action: 'database.restore', at, changes });
          return { clusters, keys, disabled, revoked };
        });
      // Do not warn about data missing in the database: the backup replaces it.
      const counts = await withServices(config, restored, { warn: false });
      process.stdout.write(
        `Restored ${file}: ${counts.clusters} clusters; ${counts.keys} API keys, without those revoked since.\n`,
      );
      if (counts.disabled.length > 0) process.stdout.write(disabledNote(counts.disabled));
      if (counts.revoked.length > 0) process.stdout.write(revokedNote(counts.revoked));
      return 0;
    });
  },
});

function disabledNote(usernames: readonly string[]): string {
  return `Disabled, because they were disabled, deleted or got another password after the backup: ${usernames.map(printable).join(', ')}. To let a user sign in again, run users password NAME and users enable NAME.\n`;
}

function revokedNote(revoked: readonly string[]): string {
  return `Not restored, because it was revoked after the backup: ${revoked.map(printable).join('; ')}. An admin can grant it again.\n`;
}

/** Replaces unusual characters: the author of the backup may have put terminal control sequences into names. */
const printable = (text: string) => text.replace(/[^\p{L}\p{N}._@+:,() -]/gu, '?');

/** Copies the backup and validates the copy. Opening a database writes to it, so the backup itself is never opened. */
async function copyBackup(database: string, file: string, copy: string): Promise<void> {
  const backup = statSync(file, { throwIfNoEntry: false });
  if (!backup) throw new StartupError(`There is no file ${file}: name a backup.`);
  if (backup.ino === statSync(database, { throwIfNoEntry: false })?.ino)
    throw new StartupError(`${file} is the database itself: name a backup.`);
  // Opening a pipe would block until another process writes to it.
  if (!backup.isFile()) throw new StartupError(`${file} cannot be copied: it is not a regular file.`);
  const [damage] = warnOfWal(file);
  if (damage) throw new StartupError(`${damage} To restore ${file} without them, move ${file}-wal away.`);
  try {
    await copyFile(file, copy);
    if (statSync(`${file}-wal`, { throwIfNoEntry: false })?.isFile()) await copyFile(`${file}-wal`, `${copy}-wal`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown';
    throw new StartupError(`${file} cannot be copied to ${copy} (${code}).`);
  }
  checkBackup(copy, file);
}

/**
 * Migrates the copy to this version's schema, checks that its kubeconfigs can be decrypted, and resets the observed
 * status of its clusters.
 */
async function prepare(config: Config, copy: string): Promise<void> {
  const prepared = async ({ database }: CoreServices) => {
    await loadSeal(config, database);
    await database.write('status', (tx) => resetRestoredStatuses(tx, new Date()));
  };
  await withServices({ database: { file: copy } }, prepared, { warn: false });
}
