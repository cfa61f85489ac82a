import type { ServerResponse } from 'node:http';
import { sendJson } from './json-response.ts';

/** The error format of one of the two APIs, for errors that occur before the API's own code runs. */
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

/** `{"error": …}`, also for paths that belong to neither API. */
export const REST: Surface = {
  refuse: (response, status, error, headers) => sendJson(response, status, { error }, headers),
};

/** A GraphQL response with one error. */
export const GRAPHQL: Surface = {
  refuse: (response, status, message, headers) =>
    sendJson(
      response,
      status,
      { errors: [{ message, extensions: { code: CODES[status] ?? 'BAD_REQUEST' } }] },
      headers,
    ),
};

/** The API that a path belongs to; undefined if it belongs to neither. */
export function surfaceOf(path: string): Surface | undefined {
  if (path === '/graphql' || path === '/graphql/') return GRAPHQL;
  return path === '/api' || path.startsWith('/api/') ? REST : undefined;
}
