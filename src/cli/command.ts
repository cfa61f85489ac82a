import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { type Config, readConfig } from '../config.ts';

/** A command of the command line. */
export interface Command {
  /** The names of the positional arguments, such as FILE. All of them are required. */
  readonly positionals: readonly string[];
  /** The options as shown in the usage. */
  readonly synopsis?: string;
  readonly about: string;
  /**
   * Runs the command with the words that follow its name, and returns the exit code. Throws a UsageError, or an error
   * of `parseArgs`, if the words do not match the declaration.
   */
  readonly run: (name: string, words: string[]) => Promise<number>;
}

type Words<Options> = { args: string[]; options: Options; allowPositionals: true };
type Values<Options extends ParseArgsOptionsConfig> = ReturnType<typeof parseArgs<Words<Options>>>['values'];

/** One text per name. */
type Texts<Names extends readonly string[]> = { readonly [Index in keyof Names]: string };

/** Declares a command. Its `run` receives values that are typed by its positional arguments and options. */
export function command<
  const Names extends readonly string[],
  const Options extends ParseArgsOptionsConfig,
>(declaration: {
  readonly positionals: Names;
  readonly synopsis?: string;
  readonly about: string;
  readonly options: Options;
  readonly run: (input: {
    config: Config;
    values: Values<Options>;
    positionals: Texts<Names>;
  }) => number | Promise<number>;
}): Command {
  const { positionals: names, options, run, ...shown } = declaration;
  const matchesNames = (texts: readonly string[]): texts is Texts<Names> => texts.length === names.length;
  return {
    ...shown,
    positionals: names,
    run: async (name, args) => {
      const words: Words<Options> = { args, options, allowPositionals: true };
      const { values, positionals } = parseArgs(words);
      if (!matchesNames(positionals))
        throw new UsageError(`${name} takes ${names.length === 0 ? 'options only' : names.join(' ')}.`);
      return run({ config: readConfig(), values, positionals });
    },
  };
}

/** A usage error. Its message explains the error. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
