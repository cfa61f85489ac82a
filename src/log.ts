import pino, { type Logger } from 'pino';

export type { Logger };

/**
 * The loggable part of an error: its type, its code and its stack frames. Messages are omitted because they may quote
 * input.
 */
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

/** The time field of a line. It is formatted at most once per millisecond. */
function isoTime(): string {
  const now = Date.now();
  if (now !== lastMs) {
    lastMs = now;
    lastTime = `,"time":"${new Date(now).toISOString()}"`;
  }
  return lastTime;
}

/** Creates the logger. It writes JSON lines, or readable lines if `pretty`. */
export async function openLog({ level, pretty }: { level: string; pretty: boolean }): Promise<Logger> {
  const serializers = { err: describeError };
  if (!pretty) return pino({ level, base: null, serializers, timestamp: isoTime }, batchedStdout());
  const { default: prettyPrint } = await import('pino-pretty');
  return pino(
    { level, serializers },
    prettyPrint({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss', sync: true }),
  );
}

/** Size of the batch buffer in bytes, and the longest time in ms that a line waits in it. */
const BATCH_BYTES = 16 * 1024;
const BATCH_MS = 100;
/** Maximum number of UTF-8 bytes per UTF-16 code unit. */
const MAX_BYTES_PER_UNIT = 3;

/**
 * Writes lines to stdout in batches of about a hundred: a separate write per line costs more than serving a cached
 * response. Each line is encoded at once, because joining strings later costs three times as much. All of it happens in
 * this thread, because handing lines to another thread costs a fifth of a cached response.
 */
function batchedStdout(): { write: (line: string) => void; flushSync: () => void } {
  const out = pino.destination({ dest: 1, sync: true });
  const buffer = Buffer.allocUnsafeSlow(BATCH_BYTES);
  let length = 0;
  const flushSync = () => {
    if (length > 0) out.write(buffer.toString('utf8', 0, length));
    length = 0;
  };
  process.once('exit', flushSync);
  return {
    write: (line) => {
      if (length === 0) setTimeout(flushSync, BATCH_MS).unref();
      if (line.length * MAX_BYTES_PER_UNIT > BATCH_BYTES - length) flushSync();
      if (line.length * MAX_BYTES_PER_UNIT > BATCH_BYTES) out.write(line);
      else length += buffer.write(line, length);
    },
    flushSync,
  };
}
