import { afterAll, beforeAll, expect, it } from 'vitest';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { send } from './support/wire.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const get = async (path: string, headers: Record<string, string> = {}) =>
  send(app, { path, headers: { Authorization: app.admin, Accept: 'text/html, */*', ...headers } });

/** The path of a GraphiQL asset; its name contains a hash. */
async function assetPath(): Promise<string> {
  const { text } = await get('/graphql');
  return /src="([^"]+)"/.exec(text)?.[1] ?? '';
}

it.each([
  ['the REST list', async () => CLUSTERS],
  ['a GraphQL query by GET', async () => '/graphql?query={clusters{totalCount}}'],
  ['the OpenAPI document', async () => '/openapi.json'],
  ['a GraphiQL asset', assetPath],
])('%s follows the same If-None-Match rule as every other response', async (_title, pathOf) => {
  const path = await pathOf();
  const headers = path.includes('query') ? { Accept: 'application/json' } : {};
  const { status, headers: answered } = await get(path, headers);
  expect(status).toBe(200);
  const etag = String(answered.etag);
  expect(etag).toMatch(/^"[\w-]+"$/);
  // fetch adds no-cache to every request with If-None-Match.
  const statusFor = async (ifNoneMatch: string) =>
    (await get(path, { ...headers, 'If-None-Match': ifNoneMatch, 'Cache-Control': 'no-cache' })).status;
  for (const same of [etag, `W/${etag}`, `"other", ${etag}`, `W/"other" ,W/${etag},`, '*'])
    expect([same, await statusFor(same)]).toEqual([same, 304]);
  for (const other of ['"other"', 'W/"other"', etag.replaceAll('"', ''), '""', ','])
    expect([other, await statusFor(other)]).toEqual([other, 200]);
});
