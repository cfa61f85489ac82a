import type { ParseArgsOptionsConfig } from 'node:util';
import type { Config } from '../config.ts';

/** One command: what it takes, and what it does. `run` answers the exit code. */
export interface Command {
  /** The words that follow its options, such as FILE; each must be given. */
  readonly positionals: readonly string[];
  /** What else its line in the usage shows. */
  readonly synopsis?: string;
  readonly about: string;
  readonly options: ParseArgsOptionsConfig;
  readonly run: (given: {
    config: Config;
    values: Record<string, string | boolean | (string | boolean)[] | undefined>;
    positionals: string[];
  }) => Promise<number>;
}

/** The words of a command are off; the message says how. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
