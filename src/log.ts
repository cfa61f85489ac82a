import pino, { type DestinationStream, type Logger } from 'pino';

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
  if (!pretty) {
    // A write of its own for each request would cost more than a kept answer: lines leave together, or after 100 ms. In
    // this thread: handing them to another costs a fifth of a kept answer, writing 8 KiB next to nothing.
    const out = pino.destination({ dest: 1, sync: true, minLength: 8_192, periodicFlush: 100 });
    return pino({ level, base: null, serializers, timestamp: isoTime }, onceATurn(out));
  }
  const { default: prettyPrint } = await import('pino-pretty');
  return pino(
    { level, serializers },
    prettyPrint({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss', sync: true }),
  );
}

/** Passes the lines of one turn of the event loop on together: at each, the destination's work costs more than the line. */
function onceATurn(out: DestinationStream & { flushSync(): void }): DestinationStream & { flushSync(): void } {
  let lines = '';
  const pass = () => {
    if (lines !== '') out.write(lines);
    lines = '';
  };
  const flushSync = () => {
    pass();
    out.flushSync();
  };
  process.once('exit', flushSync);
  return {
    write: (line) => {
      if (lines === '') setImmediate(pass);
      lines += line;
    },
    flushSync,
  };
}
