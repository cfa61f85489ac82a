import { writeLine } from '../internals/pino.ts';
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

/** Writes the log line of a request, without the logger's own serialization: that matters for cached responses. */
export function logRequest(log: Logger, line: RequestLogEntry): void {
  const { requestId, method, path, status, ms, aborted } = line;
  // Kubelets request these every few seconds: at level info they would dominate the log.
  const level = path === '/healthz' || path === '/readyz' ? 'debug' : 'info';
  if (!log.isLevelEnabled(level)) return;
  writeLine(
    log,
    level,
    `,"requestId":"${requestId}","method":"${method}","path":${JSON.stringify(path)},` +
      `"status":${status},"ms":${ms}${aborted ? ',"aborted":true' : ''},"msg":"request"}`,
  );
}
