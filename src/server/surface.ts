import type { ServerResponse } from 'node:http';
import { sendJson } from './json-response.ts';

/** How one of the two surfaces says no, before its own code is reached. */
export interface Surface {
  readonly refuse: (
    response: ServerResponse,
    status: number,
    message: string,
    headers?: Record<string, string>,
  ) => void;
}

const CODES: Readonly<Record<number, string>> = {
  401: 'UNAUTHENTICATED',
  429: 'RATE_LIMITED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
};

/** `{"error": …}`; also for what belongs to neither surface. */
export const REST: Surface = {
  refuse: (response, status, error, headers) => sendJson(response, status, { error }, headers),
};

/** A GraphQL response of one error. */
export const GRAPHQL: Surface = {
  refuse: (response, status, message, headers) =>
    sendJson(
      response,
      status,
      { errors: [{ message, extensions: { code: CODES[status] ?? 'BAD_REQUEST' } }] },
      headers,
    ),
};

/** The surface that a path belongs to. */
export function surfaceOf(path: string): Surface | undefined {
  if (path === '/graphql') return GRAPHQL;
  return path === '/api' || path.startsWith('/api/') ? REST : undefined;
}
