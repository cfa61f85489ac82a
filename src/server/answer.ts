import type { ServerResponse } from 'node:http';
import type { Answer } from './kept.ts';
import type { Metrics } from './metrics.ts';

const JSON_TYPE = 'application/json; charset=utf-8';

/** Ends a request with JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { 'Content-Type': JSON_TYPE, 'Content-Length': bytes.length, ...headers }).end(bytes);
}

/** JSON as an answer that may be kept. */
export function jsonAnswer(status: number, body: unknown): Answer {
  const bytes = Buffer.from(JSON.stringify(body));
  return { status, headers: ['Content-Type', JSON_TYPE, 'Content-Length', String(bytes.length)], bytes };
}

/** Ends a request with the metrics. */
export async function sendMetrics(metrics: Metrics, response: ServerResponse): Promise<void> {
  const text = await metrics.text();
  response.writeHead(200, { 'Content-Type': metrics.contentType }).end(text);
}
