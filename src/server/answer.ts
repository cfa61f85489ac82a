import type { ServerResponse } from 'node:http';
import type { Answer } from './kept.ts';

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
