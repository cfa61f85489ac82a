// The command line: `npm run kitestring -- <command>`. It works beside a running server. Exit codes: 0 done, 1 refused
// or failed, 2 the words are off. What a script takes stands on stdout alone.
import { parseArgs } from 'node:util';
import { readConfig } from '../config.ts';
import { DomainError, domainErrorOf } from '../domain/errors.ts';
import { describeError } from '../log.ts';
import { StartupError } from '../storage/startup-error.ts';
import { exportAudit } from './audit.ts';
import { backup } from './backup.ts';
import { type Command, UsageError } from './command.ts';
import { copy } from './copy.ts';
import { createKey, listKeys, revokeKey } from './keys.ts';
import { printKubeconfig } from './kubeconfig.ts';
import { recovered } from './recovered.ts';
import { restore } from './restore.ts';
import { rotateSeal, verifySeal } from './seal.ts';
import { createUser, disableUser, enableUser, listUsers, setPassword } from './users.ts';

const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ['keys create', createKey],
  ['keys list', listKeys],
  ['keys revoke', revokeKey],
  ['seal verify', verifySeal],
  ['seal rotate', rotateSeal],
  ['kubeconfig', printKubeconfig],
  ['users create', createUser],
  ['users list', listUsers],
  ['users disable', disableUser],
  ['users enable', enableUser],
  ['users password', setPassword],
  ['audit export', exportAudit],
  ['backup', backup],
  ['restore', restore],
  ['recovered', recovered],
  ['copy', copy],
]);

function lineOf([name, { positionals, synopsis = '', about }]: [string, Command]): string {
  return `  ${[name, ...positionals, synopsis].join(' ').trim()}\n      ${about}\n`;
}

function usage(commands: Iterable<[string, Command]>): string {
  return `Usage: npm run kitestring -- <command>\n\n${Array.from(commands, lineOf).join('')}`;
}

function findCommand(words: readonly string[]): [string, Command] {
  for (const name of [words.slice(0, 2).join(' '), words[0] ?? '']) {
    const command = COMMANDS.get(name);
    if (command) return [name, command];
  }
  if (words.length === 0) throw new UsageError('Name a command.');
  throw new UsageError(`There is no command ${JSON.stringify(words.slice(0, 2).join(' '))}.`);
}

async function runCommand(words: readonly string[]): Promise<number> {
  const [name, command] = findCommand(words);
  const { values, positionals } = parseArgs({
    args: words.slice(name.split(' ').length),
    options: command.options,
    allowPositionals: true,
    strict: true,
  });
  if (positionals.length !== command.positionals.length)
    throw new UsageError(
      `${name} takes ${command.positionals.length === 0 ? 'options alone' : command.positionals.join(' ')}.`,
    );
  return command.run({ config: readConfig(), values, positionals });
}

async function main(words: readonly string[]): Promise<number> {
  if (words.includes('--help') || words.includes('-h')) {
    const asked = [...COMMANDS].filter(([name]) => words.join(' ').startsWith(name));
    process.stdout.write(usage(asked.length > 0 ? asked : COMMANDS));
    return 0;
  }
  try {
    return await runCommand(words);
  } catch (error) {
    if (error instanceof UsageError || isParseError(error)) {
      process.stderr.write(`${error.message}\n\n${usage(COMMANDS)}`);
      return 2;
    }
    process.stderr.write(`${explain(error)}\n`);
    return 1;
  }
}

function isParseError(error: unknown): error is Error {
  return error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
}

// The message of any other error stays out: it may quote what was given.
function explain(error: unknown): string {
  if (error instanceof StartupError || error instanceof DomainError) return error.message;
  return domainErrorOf(error)?.message ?? `This failed by a fault of our own: ${JSON.stringify(describeError(error))}`;
}

process.exitCode = await main(process.argv.slice(2));
