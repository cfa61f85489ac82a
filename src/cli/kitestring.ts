// The command line: `npm run kitestring -- <command>`. A server may be running at the same time. Exit codes: 0
// success, 1 rejected or failed, 2 usage error. Output for scripts goes to stdout, and nothing else does.
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

function usageOf([name, { positionals, synopsis = '', about }]: [string, Command]): string {
  return `  ${[name, ...positionals, synopsis].join(' ').trim()}\n      ${about}\n`;
}

function usage(commands: Iterable<[string, Command]>): string {
  return `Usage: npm run kitestring -- <command>\n\n${Array.from(commands, usageOf).join('')}`;
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
  return command.run(name, words.slice(name.split(' ').length));
}

async function main(words: readonly string[]): Promise<number> {
  if (words.includes('--help') || words.includes('-h')) {
    const matching = [...COMMANDS].filter(([name]) => words.join(' ').startsWith(name));
    process.stdout.write(usage(matching.length > 0 ? matching : COMMANDS));
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

// Do not print the message of any other error: it may quote input, such as secrets.
function explain(error: unknown): string {
  if (error instanceof StartupError || error instanceof DomainError) return error.message;
  return (
    domainErrorOf(error)?.message ??
    `The command failed because of an internal error: ${JSON.stringify(describeError(error))}`
  );
}

process.exitCode = await main(process.argv.slice(2));
