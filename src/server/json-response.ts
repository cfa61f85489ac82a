import type { ServerResponse } from 'node:http';
import type { Metrics } from './metrics.ts';
import type { CachedResponse } from './response-cache.ts';

export const JSON_TYPE = 'application/json; charset=utf-8';

/** Sends a JSON response. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { 'Content-Type': JSON_TYPE, 'Content-Length': bytes.length, ...headers }).end(bytes);
}

/** A JSON response in the form that the response cache stores. */
export function jsonResponse(status: number, body: unknown): CachedResponse {
  const bytes = Buffer.from(JSON.stringify(body));
  return { status, headers: ['Content-Type', JSON_TYPE, 'Content-Length', String(bytes.length)], bytes };
}

/** Sends the metrics. */
export async function sendMetrics(metrics: Metrics, response: ServerResponse): Promise<void> {
  const text = await metrics.text();
  response.writeHead(200, { 'Content-Type': metrics.contentType }).end(text);
}
