import { symbols } from 'pino';
import type { Logger } from '../log.ts';

/** The fields of a request in the log. */
export interface RequestLogEntry {
  readonly requestId: string;
  readonly method: string | undefined;
  readonly path: string;
  readonly status: number;
  readonly ms: number;
  /** Whether the client disconnected before the response was sent. */
  readonly aborted: boolean;
}

interface PinoInternals {
  readonly [symbols.streamSym]: { write(line: string): void };
  readonly [symbols.timeSym]: () => string;
  /** The serialized fields that every line of this logger contains. */
  readonly [symbols.chindingsSym]: string;
}

/**
 * Writes the log line of a request as the logger itself would, in a third of the time. This matters for cached
 * responses.
 */
export function logRequest(log: Logger, line: RequestLogEntry): void {
  const { requestId, method, path, status, ms, aborted } = line;
  // Kubelets request these every few seconds: at level info they would dominate the log.
  const level = path === '/healthz' || path === '/readyz' ? 'debug' : 'info';
  if (!log.isLevelEnabled(level)) return;
  const {
    [symbols.streamSym]: stream,
    [symbols.timeSym]: time,
    [symbols.chindingsSym]: bindings,
  } = log as unknown as PinoInternals;
  stream.write(
    `{"level":${log.levels.values[level]}${time()}${bindings},"requestId":"${requestId}","method":"${method}","path":${JSON.stringify(path)},` +
      `"status":${status},"ms":${ms}${aborted ? ',"aborted":true' : ''},"msg":"request"}\n`,
  );
}
