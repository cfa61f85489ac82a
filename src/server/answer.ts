import type { ServerResponse } from 'node:http';

const JSON_TYPE = 'application/json; charset=utf-8';

/** Ends a request with JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const { bytes, headers: described } = jsonAnswer(status, body);
  response.writeHead(status, { ...described, ...headers }).end(bytes);
}

/** JSON as an answer: its bytes, and the headers that describe them. */
export function jsonAnswer(status: number, body: unknown) {
  const bytes = Buffer.from(JSON.stringify(body));
  return { status, headers: { 'Content-Type': JSON_TYPE, 'Content-Length': String(bytes.length) }, bytes };
}
