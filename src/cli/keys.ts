import { ACTIONS, actionName } from '../domain/access/action.ts';
import { systemCaller } from '../domain/access/system-caller.ts';
import { isStorableTime } from '../domain/storable.ts';
import { command, UsageError } from './command.ts';
import { requireDatabase, withServices } from './database.ts';

const caller = systemCaller('command line');

export const createKey = command({
  positionals: [],
  synopsis: '--name NAME [--role ROLE] [--scope ACTION] [--expires DATE]',
  about: 'creates an API key and prints it; it cannot be shown again',
  options: {
    name: { type: 'string' },
    role: { type: 'string', multiple: true },
    scope: { type: 'string', multiple: true },
    expires: { type: 'string' },
  },
  run: async ({ config, values: { name, role: roles = [], scope, expires } }) => {
    if (name === undefined) throw new UsageError('keys create needs --name NAME.');
    const expiresAt = expires === undefined ? undefined : parseExpiry(expires);
    const scopes = scope?.map(parseAction);
    const { text } = await withServices(config, ({ apiKeys }) =>
      apiKeys.create(caller, { name, roles, scopes, expiresAt }),
    );
    process.stdout.write(`${text}\n`);
    if (roles.length === 0)
      process.stderr.write(
        'This key has no role, so it authenticates but has no permissions. Use --role admin to create an admin key.\n',
      );
    return 0;
  },
});

export const listKeys = command({
  positionals: [],
  about: 'lists the API keys, without their secrets',
  options: { json: { type: 'boolean' } },
  synopsis: '[--json]',
  run: async ({ config, values: { json } }) => {
    requireDatabase(config);
    const keys = (await withServices(config, ({ apiKeys }) => apiKeys.list(caller))).map((key) => ({
      id: key.id,
      name: key.name,
      owner: key.owner ?? '',
      roles: key.roles.join(', '),
      scopes: key.scopes?.join(', ') ?? 'all',
      source: key.source,
      created: key.createdAt.toISOString(),
      expires: key.expiresAt?.toISOString() ?? 'never',
      used: key.lastUsedAt?.toISOString() ?? 'never',
      note: [key.disabled ? 'disabled' : '', key.weak ? 'weak' : ''].filter(Boolean).join(', '),
    }));
    if (json) process.stdout.write(`${JSON.stringify(keys, null, 2)}\n`);
    else if (keys.length > 0) console.table(keys);
    else process.stderr.write('There are no API keys.\n');
    return 0;
  },
});

export const revokeKey = command({
  positionals: ['ID'],
  about: 'revokes an API key; it is rejected from the next request on',
  options: {},
  run: async ({ config, positionals: [id] }) => {
    const number = Number(/^(?:kite)?([1-9][0-9]{0,9})$/.exec(id)?.[1]);
    if (!(number < 2 ** 31)) throw new UsageError('keys revoke needs the ID of a key: see keys list.');
    requireDatabase(config);
    await withServices(config, ({ apiKeys }) => apiKeys.revoke(caller, number));
    process.stdout.write(`API key ${number} is revoked.\n`);
    return 0;
  },
});

/** Accepts the name of an action in the domain or in GraphQL. The domain rejects unknown names. */
function parseAction(text: string): string {
  return ACTIONS.find((action) => actionName(action) === text) ?? text;
}

function parseExpiry(text: string): Date {
  const date = new Date(text);
  if (!isStorableTime(date) || date <= new Date())
    throw new UsageError(`--expires ${text} is not a date in the future: use a date such as 2027-06-30.`);
  return date;
}
