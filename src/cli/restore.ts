import { statSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { systemCaller } from '../domain/access/system-caller.ts';
import { record } from '../domain/audit.ts';
import { initialStatus } from '../domain/clusters/cluster.ts';
import { sealedKeyIds } from '../domain/clusters/sealed-kubeconfigs.ts';
import { type Database, openDatabase } from '../storage/database.ts';
import { loadKeyRing } from '../storage/key-file.ts';
import { checkBackup } from '../storage/sqlite/backup-file.ts';
import { createFile } from '../storage/sqlite/file.ts';
import { warnOfWal } from '../storage/sqlite/loss.ts';
import { restoreInto } from '../storage/sqlite/restore.ts';
import { withRestoreDirectory } from '../storage/sqlite/restore-directory.ts';
import { StartupError } from '../storage/startup-error.ts';
import type { Command } from './command.ts';
import { databaseFile, keyFile, withDatabase } from './database.ts';

export const restore: Command = {
  positionals: ['FILE'],
  about: 'puts the content of a backup in the place of the present one, beside a running server too',
  options: {},
  run: async ({ config, positionals: [name = ''] }) => {
    const database = databaseFile(config, 'pg_restore');
    const file = resolve(name);
    createFile(database);
    return withRestoreDirectory(config.dataDir, async (directory) => {
      const copy = join(directory, 'backup.db');
      await takeCopy(database, file, copy);
      await prepare(config, copy);
      const at = new Date();
      const restored = (database: Database) =>
        restoreInto(database, copy, async (tx, { disabled, revoked }) => {
          // Those that ended since would be back.
          await tx.session.deleteMany();
          const [clusters, keys] = [await tx.cluster.count(), await tx.apiKey.count()];
          const changes = {
            ...{ clusters: { to: clusters }, apiKeys: { to: keys } },
            ...{ disabled: { to: disabled }, revoked: { to: revoked } },
          };
          await record(tx, systemCaller('command line'), { action: 'database.restore', at, changes });
          return { clusters, keys, disabled, revoked };
        });
      // What the present database lacks does not matter any more.
      const counts = await withDatabase(config, restored, { warn: false });
      process.stdout.write(
        `Restored ${file}: ${counts.clusters} clusters; ${counts.keys} API keys, without those revoked since.\n`,
      );
      if (counts.disabled.length > 0) process.stdout.write(disabledNote(counts.disabled));
      if (counts.revoked.length > 0) process.stdout.write(revokedNote(counts.revoked));
      return 0;
    });
  },
};

function disabledNote(usernames: readonly string[]): string {
  return `Disabled, since they were disabled, deleted or given another password after the backup: ${usernames.map(printable).join(', ')}. Let one sign in again by users password NAME and users enable NAME.\n`;
}

function revokedNote(revoked: readonly string[]): string {
  return `Not restored, since it was taken away after the backup: ${revoked.map(printable).join('; ')}. An admin can grant it again.\n`;
}

/** Whoever made the backup may have written the names for a terminal. */
const printable = (text: string) => text.replace(/[^\p{L}\p{N}._@+:,() -]/gu, '?');

/** Everything happens to a copy of the backup: opening a database writes to it. */
async function takeCopy(database: string, file: string, copy: string): Promise<void> {
  const backup = statSync(file, { throwIfNoEntry: false });
  if (!backup) throw new StartupError(`There is no file ${file}: name a backup.`);
  if (backup.ino === statSync(database, { throwIfNoEntry: false })?.ino)
    throw new StartupError(`${file} is the database itself: name a backup.`);
  // Opening a pipe would wait for whoever writes to it.
  if (!backup.isFile()) throw new StartupError(`${file} cannot be copied: it is no regular file.`);
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

/** Brings the copy to this version's models, sees that its kubeconfigs can be opened, and forgets what was observed. */
async function prepare(config: Config, copy: string): Promise<void> {
  const database = await openDatabase({ file: copy });
  try {
    await loadKeyRing({
      file: keyFile(config),
      given: config.sealKey,
      sealedKeyIds: () => sealedKeyIds(database),
    });
    const stateSince = new Date();
    await database.write('status', (tx) =>
      tx.cluster.updateMany({
        where: { state: { notIn: ['DISABLED', 'UNUSABLE'] } },
        data: {
          ...initialStatus({ enabled: true, problem: null }),
          ...{ stateSince, observedAt: null, latencyMs: null, version: null },
        },
      }),
    );
  } finally {
    await database.close();
  }
}
