import { type Logger, symbols } from 'pino';

interface Internals {
  readonly [symbols.streamSym]: { write(line: string): void };
  readonly [symbols.timeSym]: () => string;
  /** The serialized fields that every line of this logger contains. */
  readonly [symbols.chindingsSym]: string;
}

/**
 * Writes a line as the logger itself would, in a third of the time. `fields` is the rest of the JSON object, from its
 * first comma to its brace. The caller checks that the level is enabled.
 */
export function writeLine(log: Logger, level: string, fields: string): void {
  const {
    [symbols.streamSym]: stream,
    [symbols.timeSym]: time,
    [symbols.chindingsSym]: bindings,
  } = log as unknown as Internals;
  stream.write(`{"level":${log.levels.values[level]}${time()}${bindings}${fields}\n`);
}
