import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { type App, type Domain, openDomain, serve } from '../../src/app.ts';
import { type Config, readConfig } from '../../src/config.ts';
import { systemCaller } from '../../src/domain/access/system-caller.ts';
import { describeError, type Logger } from '../../src/log.ts';
import { databaseOf } from './database-location.ts';

export interface TestApp {
  readonly url: string;
  readonly dataDir: string;
  readonly config: Config;
  readonly domain: Domain;
  /** An `Authorization` header value with a key that has the admin role. */
  readonly admin: string;
  /** An `Authorization` header value with a key without a role. */
  readonly keyWithoutRole: string;
  /** Returns every log line written so far. */
  readonly logged: () => string;
  readonly rest: (
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ) => Promise<TestResponse>;
  readonly graphql: (query: string, variables?: object, headers?: Record<string, string>) => Promise<GraphQLResponse>;
  readonly close: () => Promise<void>;
}

export interface TestResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test asserts the shape.
  readonly body: any;
}

// biome-ignore lint/suspicious/noExplicitAny: a test asserts the shape.
export type GraphQLResponse = { status: number; data: any; errors?: any[]; headers: Headers };

export const CLUSTERS = '/api/v1/admin/clusters/';

/**
 * Starts the real server in this process, on a free port, over its own database. Clusters are probed in the background
 * only with `probing`.
 */
export async function startApp(
  environment: Record<string, string> = {},
  { probing = false }: { probing?: boolean } = {},
): Promise<TestApp> {
  const ownsDataDir = environment.DATA_DIR === undefined;
  const dataDir = environment.DATA_DIR ?? (await mkdtemp(join(tmpdir(), 'kitestring-')));
  const config = readConfig({ PORT: '0', DATA_DIR: dataDir, ...databaseOf(dataDir), ...environment });
  const lines: string[] = [];
  const log = pino(
    { level: 'debug', serializers: { err: describeError } },
    { write: (line: string) => lines.push(line) },
  ) as unknown as Logger;
  const domain = await openDomain(config, log);
  const caller = systemCaller('command line');
  if (config.adminApiKey) await domain.apiKeys.declare(caller, config.adminApiKey);
  const admin = (await domain.apiKeys.create(caller, { name: 'test admin', roles: ['admin'] })).text;
  const keyWithoutRole = (await domain.apiKeys.create(caller, { name: 'test without role', roles: [] })).text;
  const app: App = await serve(config, log, domain);
  if (probing) domain.fleet.start();

  const send = async (path: string, init: RequestInit): Promise<TestResponse> => {
    const response = await fetch(`${app.url}${path}`, { redirect: 'manual', ...init });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: text === '' ? undefined : parse(text) };
  };
  return {
    url: app.url,
    ...{ dataDir, config, domain, admin, keyWithoutRole },
    logged: () => lines.join(''),
    rest: (method, path, body, headers = { Authorization: admin }) =>
      send(path, {
        method,
        headers: { 'Content-Type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    graphql: async (query, variables = {}, headers = { Authorization: admin }) => {
      const {
        status,
        body,
        headers: responseHeaders,
      } = await send('/graphql', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...headers },
        body: JSON.stringify({ query, variables }),
      });
      return { status, ...body, headers: responseHeaders };
    },
    close: async () => {
      await app.close();
      if (ownsDataDir) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
