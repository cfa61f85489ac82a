import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import { Roles } from '../domain/access/roles.ts';
import { SignInLimits } from '../domain/access/sign-in-limits.ts';
import { systemCaller } from '../domain/access/system-caller.ts';
import { Users } from '../domain/access/users.ts';
import { AuditLog } from '../domain/audit-log.ts';
import { type Command, UsageError } from './command.ts';
import { requireDatabase, withDatabase } from './database.ts';
import { readPassword } from './password.ts';

const caller = systemCaller('command line');

export const createUser: Command = {
  positionals: [],
  synopsis: '--username NAME [--admin] [--role ROLE] [--name NAME] [--generate]',
  about: 'makes a person; the password is read from stdin, asked for, or with --generate made and shown this once',
  options: {
    username: { type: 'string' },
    name: { type: 'string' },
    admin: { type: 'boolean' },
    role: { type: 'string', multiple: true },
    generate: { type: 'boolean' },
  },
  run: async ({ config, values: { username, name, admin, role, generate } }) => {
    if (typeof username !== 'string') throw new UsageError('users create needs --username NAME.');
    const roles = [...(admin ? ['admin'] : []), ...(Array.isArray(role) ? role.map(String) : [])];
    const password = await passwordOf(generate === true);
    const input = { username, password, name: typeof name === 'string' ? name : undefined, roles };
    await withUsers(config, (users) => users.create(caller, input));
    show(password, generate === true, `${username} is made.`);
    if (roles.length === 0) process.stderr.write('They hold no role: they sign in and may do nothing.\n');
    return 0;
  },
};

export const listUsers: Command = {
  positionals: [],
  synopsis: '[--json]',
  about: 'lists the people',
  options: { json: { type: 'boolean' } },
  run: async ({ config, values: { json } }) => {
    requireDatabase(config);
    const people = (await withUsers(config, (users) => users.list(caller))).map((user) => ({
      username: user.username,
      name: user.name,
      roles: user.roles.join(', '),
      provider: user.provider,
      created: user.createdAt.toISOString(),
      note: user.disabled ? 'disabled' : '',
    }));
    if (json) process.stdout.write(`${JSON.stringify(people, null, 2)}\n`);
    else if (people.length > 0) console.table(people);
    else process.stderr.write('There are no users.\n');
    return 0;
  },
};

const setDisabled = (disabled: boolean): Command => ({
  positionals: ['NAME'],
  about: disabled ? 'ends the sessions and keys of a person, who signs in no more' : 'lets a person sign in again',
  options: {},
  run: async ({ config, positionals: [username = ''] }) => {
    requireDatabase(config);
    await withUsers(config, (users) => users.update(caller, { username, disabled }));
    process.stdout.write(`${username} is ${disabled ? 'disabled' : 'enabled'}.\n`);
    return 0;
  },
});

export const disableUser = setDisabled(true);
export const enableUser = setDisabled(false);

export const setPassword: Command = {
  positionals: ['NAME'],
  synopsis: '[--generate]',
  about: 'gives a person a new password and ends their sessions; read from stdin, asked for, or made',
  options: { generate: { type: 'boolean' } },
  run: async ({ config, values: { generate }, positionals: [username = ''] }) => {
    requireDatabase(config);
    const password = await passwordOf(generate === true);
    await withUsers(config, (users) => users.update(caller, { username, password }));
    show(password, generate === true, `${username} has a new password.`);
    return 0;
  },
};

async function passwordOf(generate: boolean): Promise<string> {
  return generate ? randomBytes(18).toString('base64url') : readPassword();
}

/** What was generated is all of stdout, for scripts. */
function show(password: string, generated: boolean, done: string): void {
  process.stderr.write(`${done}\n`);
  if (generated) process.stdout.write(`${password}\n`);
}

function withUsers<T>(config: Config, work: (users: Users) => Promise<T>): Promise<T> {
  return withDatabase(config, (database) => {
    const now = () => new Date();
    const limits = new SignInLimits({ database });
    const audit = new AuditLog({ database, now });
    return work(new Users({ database, limits, audit, now, roles: new Roles({ database, now }) }));
  });
}
