import pino, { type Logger } from 'pino';

export type { Logger };

/** What an error may tell the log: its kind, its code and where it was thrown. Messages may quote input, so they stay out. */
export function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = 'code' in error ? error.code : undefined;
  const frames = (error.stack ?? '')
    .replace(error.message, '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line));
  return {
    type: error.constructor.name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    at: frames.slice(0, 6).map((line) => line.trim()),
    ...(error.cause instanceof Error ? { cause: describeError(error.cause) } : {}),
  };
}

let lastMs = 0;
let lastTime = '';

/** The time of a line, written out once a millisecond. */
function isoTime(): string {
  const now = Date.now();
  if (now !== lastMs) {
    lastMs = now;
    lastTime = `,"time":"${new Date(now).toISOString()}"`;
  }
  return lastTime;
}

/** The logger: JSON lines, or for a person on a terminal. */
export async function openLog({ level, pretty }: { level: string; pretty: boolean }): Promise<Logger> {
  const serializers = { err: describeError };
  if (!pretty) return pino({ level, base: null, serializers, timestamp: isoTime }, gathered());
  const { default: prettyPrint } = await import('pino-pretty');
  return pino(
    { level, serializers },
    prettyPrint({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss', sync: true }),
  );
}

/** Lines that leave together: bytes of the buffer they are gathered in, and milliseconds that they may wait there. */
const GATHERED = 16 * 1024;
const GATHERED_MS = 100;
/** The most bytes that a character of a line becomes. */
const WIDEST = 3;

/**
 * Writes lines to stdout some hundred at a time: a write of its own for each costs more than a kept answer. They become
 * bytes one by one, since text that waits to be joined costs three times as much; and in this thread, since handing
 * them to another costs a fifth of a kept answer.
 */
function gathered(): { write: (line: string) => void; flushSync: () => void } {
  const out = pino.destination({ dest: 1, sync: true });
  const buffer = Buffer.allocUnsafeSlow(GATHERED);
  let length = 0;
  const flushSync = () => {
    if (length > 0) out.write(buffer.toString('utf8', 0, length));
    length = 0;
  };
  process.once('exit', flushSync);
  return {
    write: (line) => {
      if (length === 0) setTimeout(flushSync, GATHERED_MS).unref();
      if (line.length * WIDEST > GATHERED - length) flushSync();
      if (line.length * WIDEST > GATHERED) out.write(line);
      else length += buffer.write(line, length);
    },
    flushSync,
  };
}
