import type { ServerResponse } from 'node:http';

/** Ends a request with JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response
    .writeHead(status, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': bytes.length,
      ...headers,
    })
    .end(bytes);
}

/** Ends a request with `{"error": …}`, the shape of every refusal outside GraphQL. */
export function refuse(
  response: ServerResponse,
  status: number,
  error: string,
  headers: Record<string, string> = {},
): void {
  sendJson(response, status, { error }, headers);
}
