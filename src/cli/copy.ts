import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadSeal } from '../core-services.ts';
import { copyToPostgres } from '../storage/copy.ts';
import { isInUse } from '../storage/sqlite/file.ts';
import { warnOfWal } from '../storage/sqlite/loss.ts';
import { StartupError } from '../storage/startup-error.ts';
import { command, UsageError } from './command.ts';
import { printWarnings, withServices } from './database.ts';

export const copy = command({
  positionals: [],
  synopsis: '[--to URL]',
  about:
    'copies the SQLite database in DATA_DIR to an empty PostgreSQL database (--to, or DATABASE_URL); stop the server first',
  options: { to: { type: 'string' } },
  run: async ({ config, values: { to } }) => {
    const file = join(config.dataDir, 'kitestring.db');
    const url = to ?? config.database.url;
    if (url === undefined) throw new UsageError('copy needs --to URL, or DATABASE_URL.');
    if (!existsSync(file)) throw new StartupError(`There is no database in ${config.dataDir}: set DATA_DIR.`);
    printWarnings(warnOfWal(file));
    if (isInUse(file)) throw new StartupError('A server has the SQLite database open: stop it before you copy.');
    const counts = await withServices({ database: { file } }, async ({ database: source }) => {
      // If SEAL_KEY is set, check that it can decrypt the data being copied.
      if (config.sealKey !== undefined) await loadSeal(config, source);
      return copyToPostgres(url, source, (model, rows) => process.stderr.write(`${model}: ${rows} rows\n`));
    });
    const all = Array.from(counts.values()).reduce((sum, count) => sum + count, 0);
    process.stdout.write(
      `Copied ${counts.get('Cluster')} clusters, ${all} rows in all, and verified each row.\n${NEXT}`,
    );
    return 0;
  },
});

const NEXT = `Start every server with DATABASE_URL and the seal keys: SEAL_KEY as before, or SEAL_KEY_FILE=<DATA_DIR>/seal-keys.
Set both for the command line too, and move kitestring.db away: commands without DATABASE_URL still read and change it.
`;
