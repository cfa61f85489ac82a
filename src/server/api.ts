import type { ServerResponse } from 'node:http';
import { sendJson } from './json-response.ts';

/** One of the two APIs, with the format of the errors that occur before its own code runs. */
export interface Api {
  /** Sends an error response. */
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
export const REST: Api = {
  refuse: (response, status, error, headers) => sendJson(response, status, { error }, headers),
};

/** A GraphQL response with one error. */
const GRAPHQL: Api = {
  refuse: (response, status, message, headers) =>
    sendJson(
      response,
      status,
      { errors: [{ message, extensions: { code: CODES[status] ?? 'BAD_REQUEST' } }] },
      headers,
    ),
};

/** The API that a path belongs to; undefined if it belongs to neither. */
export function apiOf(path: string): Api | undefined {
  if (path === '/graphql' || path === '/graphql/') return GRAPHQL;
  return path === '/api' || path.startsWith('/api/') ? REST : undefined;
}
