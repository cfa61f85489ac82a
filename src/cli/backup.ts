import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { backupFile } from '../storage/sqlite/file.ts';
import { warnOfWal } from '../storage/sqlite/loss.ts';
import { StartupError } from '../storage/startup-error.ts';
import { command } from './command.ts';
import { printWarnings, requireDatabase, sqliteFile } from './database.ts';

export const backup = command({
  positionals: ['FILE'],
  synopsis: '[--force]',
  about: 'writes a consistent copy of the database to FILE; the seal keys are not included',
  options: { force: { type: 'boolean' } },
  run: async ({ config, values: { force }, positionals: [name] }) => {
    const database = sqliteFile(config, 'pg_dump');
    requireDatabase(config);
    const file = resolve(name);
    if (existsSync(file) && !force)
      throw new StartupError(`${file} exists: name another file, or overwrite it with --force.`);
    printWarnings(warnOfWal(database));
    await backupFile(database, file).catch((error: unknown) => {
      const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
      throw error instanceof StartupError ? error : new StartupError(`The backup ${file} cannot be written${code}.`);
    });
    process.stdout.write(`Backed up to ${file}.\n`);
    return 0;
  },
});
