import type { ParseArgsOptionsConfig } from 'node:util';
import type { Config } from '../config.ts';

/** A command of the command line. `run` returns the exit code. */
export interface Command {
  /** The names of the positional arguments, such as FILE. All of them are required. */
  readonly positionals: readonly string[];
  /** The options as shown in the usage. */
  readonly synopsis?: string;
  readonly about: string;
  readonly options: ParseArgsOptionsConfig;
  readonly run: (input: {
    config: Config;
    values: Record<string, string | boolean | (string | boolean)[] | undefined>;
    positionals: string[];
  }) => Promise<number>;
}

/** A usage error. Its message explains the error. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
