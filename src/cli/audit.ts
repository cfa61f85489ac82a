import { once } from 'node:events';
import { systemCaller } from '../domain/access/system-caller.ts';
import { isStorableTime } from '../domain/storable.ts';
import { command, UsageError } from './command.ts';
import { requireDatabase, withServices } from './database.ts';

export const exportAudit = command({
  positionals: [],
  synopsis: '[--since DATE]',
  about: 'prints the audit log as JSON lines, the oldest first',
  options: { since: { type: 'string' } },
  run: async ({ config, values: { since } }) => {
    const from = since === undefined ? undefined : new Date(since);
    if (from && !isStorableTime(from))
      throw new UsageError(`--since ${since} is not a valid date: use a date such as 2026-11-01.`);
    requireDatabase(config);
    await withServices(config, async ({ auditLog }) => {
      for await (const rows of auditLog.export(systemCaller('command line'), { since: from })) {
        const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
        if (!process.stdout.write(lines)) await once(process.stdout, 'drain');
      }
    });
    return 0;
  },
});
