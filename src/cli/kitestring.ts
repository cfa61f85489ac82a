// The command line: `npm run kitestring -- <command>`. It works beside a running server.
import { parseArgs } from 'node:util';
import { readConfig } from '../config.ts';
import { DomainError, domainErrorOf } from '../domain/errors.ts';
import { StartupError } from '../storage/startup-error.ts';
import { type Command, UsageError } from './command.ts';
import { createKey, listKeys, revokeKey } from './keys.ts';
import { verifySeal } from './seal.ts';

const COMMANDS: Readonly<Record<string, Command>> = {
  'keys create': createKey,
  'keys list': listKeys,
  'keys revoke': revokeKey,
  'seal verify': verifySeal,
};

function usage(): string {
  const lines = Object.entries(COMMANDS).map(
    ([name, { parameters, about }]) => `  ${`${name} ${parameters}`.padEnd(58)}${about}`,
  );
  return `Usage: npm run kitestring -- <command>\n\n${lines.join('\n')}\n`;
}

async function main(words: string[]): Promise<number> {
  const name = [words.slice(0, 2).join(' '), words[0] ?? ''].find((candidate) => candidate in COMMANDS);
  const command = name === undefined ? undefined : COMMANDS[name];
  if (name === undefined || !command) {
    const asked = words.length === 0 || words.includes('--help');
    (asked ? process.stdout : process.stderr).write(usage());
    return asked ? 0 : 2;
  }
  try {
    const { values, positionals } = parseArgs({
      args: words.slice(name.split(' ').length),
      options: command.options,
      allowPositionals: true,
      strict: true,
    });
    return await command.run({ config: readConfig(), values, positionals });
  } catch (error) {
    const sentence = explain(error);
    if (sentence === undefined) throw error;
    process.stderr.write(`${sentence}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

function explain(error: unknown): string | undefined {
  if (error instanceof StartupError || error instanceof DomainError || error instanceof UsageError)
    return error.message;
  if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
    return error.message;
  return domainErrorOf(error)?.message;
}

process.exitCode = await main(process.argv.slice(2));
