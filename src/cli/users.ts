import { randomBytes } from 'node:crypto';
import { systemCaller } from '../domain/access/system-caller.ts';
import { command, UsageError } from './command.ts';
import { requireDatabase, withServices } from './database.ts';
import { readPassword } from './password.ts';

const caller = systemCaller('command line');

export const createUser = command({
  positionals: [],
  synopsis: '--username NAME [--admin] [--role ROLE] [--name NAME] [--generate]',
  about: 'creates a user; the password is read from stdin or a prompt, or --generate creates and prints one',
  options: {
    username: { type: 'string' },
    name: { type: 'string' },
    admin: { type: 'boolean' },
    role: { type: 'string', multiple: true },
    generate: { type: 'boolean' },
  },
  run: async ({ config, values: { username, name, admin, role = [], generate } }) => {
    if (username === undefined) throw new UsageError('users create needs --username NAME.');
    const roles = [...(admin ? ['admin'] : []), ...role];
    const password = await obtainPassword(generate);
    await withServices(config, ({ users }) => users.create(caller, { username, password, name, roles }));
    printResult(password, generate, `${username} is created.`);
    if (roles.length === 0)
      process.stderr.write('The user has no role, so they can sign in but have no permissions.\n');
    return 0;
  },
});

export const listUsers = command({
  positionals: [],
  synopsis: '[--json]',
  about: 'lists the users',
  options: { json: { type: 'boolean' } },
  run: async ({ config, values: { json } }) => {
    requireDatabase(config);
    const rows = (await withServices(config, ({ users }) => users.list(caller))).map((user) => ({
      username: user.username,
      name: user.name,
      roles: user.roles.join(', '),
      provider: user.provider,
      created: user.createdAt.toISOString(),
      note: user.disabled ? 'disabled' : '',
    }));
    if (json) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    else if (rows.length > 0) console.table(rows);
    else process.stderr.write('There are no users.\n');
    return 0;
  },
});

const setDisabled = (disabled: boolean) =>
  command({
    positionals: ['NAME'],
    about: disabled
      ? 'disables a user: ends their sessions, and rejects their password and API keys'
      : 'lets a user sign in again',
    options: {},
    run: async ({ config, positionals: [username] }) => {
      requireDatabase(config);
      await withServices(config, ({ users }) => users.update(caller, { username, disabled }));
      process.stdout.write(`${username} is ${disabled ? 'disabled' : 'enabled'}.\n`);
      return 0;
    },
  });

export const disableUser = setDisabled(true);
export const enableUser = setDisabled(false);

export const setPassword = command({
  positionals: ['NAME'],
  synopsis: '[--generate]',
  about:
    'sets the password of a user and ends their sessions; the password is read from stdin or a prompt, or generated',
  options: { generate: { type: 'boolean' } },
  run: async ({ config, values: { generate }, positionals: [username] }) => {
    requireDatabase(config);
    const password = await obtainPassword(generate);
    await withServices(config, ({ users }) => users.update(caller, { username, password }));
    printResult(password, generate, `${username} has a new password.`);
    return 0;
  },
});

async function obtainPassword(generate = false): Promise<string> {
  return generate ? randomBytes(18).toString('base64url') : readPassword();
}

/** Prints a generated password alone on stdout, for scripts. The message goes to stderr. */
function printResult(password: string, generated: boolean | undefined, done: string): void {
  process.stderr.write(`${done}\n`);
  if (generated) process.stdout.write(`${password}\n`);
}
