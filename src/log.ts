import pino, { type Logger } from 'pino';

export type { Logger };

/** What an error may tell the log: its kind, its code and where it was thrown. Messages may quote input, so they stay out. */
function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = 'code' in error ? error.code : undefined;
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return {
    type: error.constructor.name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    at: frames.slice(0, 6).map((line) => line.trim()),
    ...(error.cause instanceof Error ? { cause: describeError(error.cause) } : {}),
  };
}

/** The logger: JSON lines, or for a person on a terminal. */
export async function openLog({ level, pretty }: { level: string; pretty: boolean }): Promise<Logger> {
  const serializers = { err: describeError };
  if (!pretty) return pino({ level, base: null, serializers, timestamp: pino.stdTimeFunctions.isoTime });
  const { default: prettyPrint } = await import('pino-pretty');
  return pino(
    { level, serializers },
    prettyPrint({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss', sync: true }),
  );
}
