import { existsSync, statSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { systemCaller } from '../domain/access/system.ts';
import { record } from '../domain/audit.ts';
import { untriedState } from '../domain/clusters/cluster.ts';
import { sealedKeyIds } from '../domain/clusters/sealed.ts';
import { openDatabase } from '../storage/database.ts';
import { loadKeyRing } from '../storage/key-file.ts';
import { checkIntegrity, createFile, openSqlite } from '../storage/sqlite/file.ts';
import { restoreInto } from '../storage/sqlite/restore.ts';
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
    const directory = await mkdtemp(join(config.dataDir, 'restore-'));
    try {
      const copy = join(directory, 'backup.db');
      await takeCopy(database, file, copy);
      await prepare(config, copy);
      const at = new Date();
      const counts = await withDatabase(config, (database) =>
        restoreInto(database, copy, async (tx) => {
          // Those that ended since would be back.
          await tx.session.deleteMany();
          const [clusters, keys] = [await tx.cluster.count(), await tx.apiKey.count()];
          const changes = { clusters: { to: clusters }, apiKeys: { to: keys } };
          await record(tx, systemCaller('command line'), { action: 'database.restore', at, changes });
          return { clusters, keys };
        }),
      );
      process.stdout.write(
        `Restored ${file}: ${counts.clusters} clusters; ${counts.keys} API keys, without those revoked since.\n`,
      );
      return 0;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
};

/** Everything happens to a copy of the backup: opening a database writes to it. */
async function takeCopy(database: string, file: string, copy: string): Promise<void> {
  const backup = statSync(file, { throwIfNoEntry: false });
  if (!backup) throw new StartupError(`There is no file ${file}: name a backup.`);
  if (backup.ino === statSync(database, { throwIfNoEntry: false })?.ino)
    throw new StartupError(`${file} is the database itself: name a backup.`);
  try {
    await copyFile(file, copy);
    if (existsSync(`${file}-wal`)) await copyFile(`${file}-wal`, `${copy}-wal`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown';
    throw new StartupError(`${file} cannot be copied to ${copy} (${code}).`);
  }
  if (!isOurs(copy)) throw new StartupError(`${file} is not a backup of Kitestring, or it is damaged: name another.`);
}

function isOurs(copy: string): boolean {
  try {
    checkIntegrity(copy);
    const database = openSqlite(copy);
    const tables =
      "SELECT count(*) AS found FROM sqlite_master WHERE name IN ('_prisma_migrations', 'Cluster', 'Counter')";
    const ours = database.prepare(tables).get()?.found === 3;
    database.close();
    return ours;
  } catch {
    return false;
  }
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
          ...untriedState({ enabled: true, problem: null }),
          ...{ stateSince, observedAt: null, latencyMs: null, version: null },
        },
      }),
    );
  } finally {
    await database.close();
  }
}
