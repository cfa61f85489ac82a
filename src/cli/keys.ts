import { join } from 'node:path';
import type { Config } from '../config.ts';
import { ApiKeys } from '../domain/access/api-keys.ts';
import { systemCaller } from '../domain/access/viewer.ts';
import { openDatabase } from '../storage/database.ts';
import { type Command, UsageError } from './command.ts';

const caller = systemCaller('command line');

export const createKey: Command = {
  parameters: '--name NAME [--role admin] [--expires DATE]',
  about: 'makes an API key and shows it this once',
  options: {
    name: { type: 'string' },
    role: { type: 'string', multiple: true },
    expires: { type: 'string' },
  },
  run: ({ config, values: { name, role, expires } }) =>
    withKeys(config, async (keys) => {
      if (typeof name !== 'string') throw new UsageError('keys create needs --name NAME.');
      const expiresAt = typeof expires === 'string' ? readDate(expires) : undefined;
      const roles = Array.isArray(role) ? role.map(String) : [];
      const { text } = await keys.create(caller, { name, roles, expiresAt });
      process.stdout.write(`${text}\n`);
      if (roles.length === 0)
        process.stderr.write(
          'This key holds no role: it signs in and may do nothing. Use --role admin for one that may.\n',
        );
    }),
};

export const listKeys: Command = {
  parameters: '',
  about: 'lists the API keys, without their secrets',
  options: {},
  run: ({ config }) =>
    withKeys(config, async (keys) => {
      const rows = (await keys.list()).map((key) => ({
        id: key.id,
        name: key.name,
        roles: Array.isArray(key.roles) ? key.roles.join(', ') : '',
        source: key.source,
        created: key.createdAt.toISOString(),
        expires: key.expiresAt?.toISOString() ?? 'never',
        note: [key.disabled ? 'disabled' : '', key.weak ? 'weak' : ''].filter(Boolean).join(', '),
      }));
      if (rows.length > 0) console.table(rows);
      else process.stdout.write('There are no API keys.\n');
    }),
};

export const revokeKey: Command = {
  parameters: 'ID',
  about: 'forgets an API key; it is refused from the next request on',
  options: {},
  run: ({ config, positionals: [id] }) =>
    withKeys(config, async (keys) => {
      const number = /^(?:kite)?([1-9][0-9]{0,9})$/.exec(id ?? '')?.[1];
      if (!number) throw new UsageError('keys revoke needs the ID of a key: see keys list.');
      await keys.revoke(caller, Number(number));
      process.stdout.write(`API key ${number} is revoked.\n`);
    }),
};

async function withKeys(config: Config, work: (keys: ApiKeys) => Promise<void>): Promise<number> {
  const database = await openDatabase({ file: join(config.dataDir, 'kitestring.db') });
  try {
    await work(new ApiKeys({ database, now: () => new Date() }));
    return 0;
  } finally {
    await database.close();
  }
}

function readDate(text: string): Date {
  const date = new Date(text);
  if (Number.isNaN(date.getTime()) || date <= new Date())
    throw new UsageError(`--expires ${text} is no date in the future: give one such as 2027-06-30.`);
  return date;
}
