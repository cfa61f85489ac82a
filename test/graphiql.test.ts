import { createServer, get as httpGet } from 'node:http';
import type { AddressInfo } from 'node:net';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { parse, validate } from 'graphql';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { schema } from '../src/graphql/schema.ts';
import { EXAMPLES } from '../src/server/graphiql/examples.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { openChromium, openWindow } from './support/chromium.ts';
import { enterKey, openExample, openGraphiQL, requestExample, runExample } from './support/graphiql.ts';

let app: TestApp;
let browser: Browser;

beforeAll(async () => {
  [app, browser] = await Promise.all([startApp(), openChromium()]);
});

afterAll(async () => {
  await browser?.close();
  await app?.close();
});

const html = { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

function get(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${app.url}${path}`, { redirect: 'manual', headers });
}

/** Returns the bytes as they are sent; fetch would decompress them. */
function getRaw(path: string, acceptEncoding: string): Promise<{ coding: string | undefined; bytes: Buffer }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ coding: string | undefined; bytes: Buffer }>();
  httpGet(`${app.url}${path}`, { headers: { 'Accept-Encoding': acceptEncoding } }, async (response) => {
    const bytes = Buffer.concat(await response.toArray());
    resolve({ coding: response.headers['content-encoding'], bytes });
  }).on('error', reject);
  return promise;
}

async function assetPaths(): Promise<string[]> {
  const page = await (await get('/graphql', html)).text();
  return [...new Set(page.match(/\/graphql\/assets\/[\w.-]+/g))];
}

test('GraphiQL runs a query, a mutation and a subscription with the key, calls no other host and logs no errors', async () => {
  await using visit = await openWindow(browser);
  await openGraphiQL(visit.page, app.url);
  await enterKey(visit.page, app.admin);
  expect(await visit.page.innerText('#state')).toBe('test admin · admin');
  await runExample(visit.page, 'Clusters', '"totalCount"');
  await runExample(visit.page, 'CreateCluster', '"databaseId"');
  const { body: clusters } = await app.rest('GET', CLUSTERS);
  expect(clusters).toMatchObject([{ name: 'demo-cluster', description: 'staging cluster' }]);
  const stream = await requestExample(visit.page, 'ClusterChanges');
  expect(stream.headers()['content-type']).toBe('text/event-stream');
  await app.rest('PUT', `${CLUSTERS}${clusters[0].id}`, { name: 'renamed-cluster' });
  await visit.page.locator('.graphiql-response').getByText('"renamed-cluster"').waitFor();

  expect(visit.complaints).toEqual([]);
  expect(new Set(visit.requestedUrls.map((url) => new URL(url).origin))).toEqual(new Set([app.url]));
});

test('a GraphiQL tab can be clicked, also on a fresh page', async () => {
  await using visit = await openWindow(browser);
  const { page } = visit;
  await openGraphiQL(page, app.url);
  const names = await page.locator('.graphiql-tab-button').allInnerTexts();
  expect(names.length).toBeGreaterThan(4);
  for (const name of names) {
    const box = await page.getByRole('button', { name, exact: true }).boundingBox();
    if (!box) throw new Error(`there is no tab ${name}`);
    // Click by coordinates, so that the element under the pointer receives the click.
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.up();
    await page.locator('.graphiql-tab-active').getByText(name, { exact: true }).waitFor({ timeout: 5_000 });
  }
  expect(visit.complaints).toEqual([]);
});

test('GraphiQL never stores the key or variables and never puts them in a URL', async () => {
  await using visit = await openWindow(browser);
  const { page } = visit;
  await openGraphiQL(page, app.url);
  await enterKey(page, app.admin);
  await runExample(page, 'ImportDryRun', '"createdCount"');
  await openExample(page, 'Clusters');
  await page.locator('.graphiql-query-editor').click();
  await page.keyboard.type('# typed');
  await page.locator('.graphiql-query-editor').getByText('# typed').waitFor();
  await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
  await page.locator('.graphiql-doc-explorer').waitFor();

  expect(visit.written).toEqual([]);
  expect(visit.requestedUrls.filter((url) => url.includes('?') || url.includes(app.admin))).toEqual([]);
  expect(page.url()).toBe(`${app.url}/graphql`);
  const kept = await page.evaluate(
    '(async () => [localStorage.length, sessionStorage.length, document.cookie, history.state, (await indexedDB.databases()).length])()',
  );
  expect(kept).toEqual([0, 0, '', null, 0]);
});

test('the checkbox keeps a valid key in sessionStorage until it is unchecked', async () => {
  await using visit = await openWindow(browser);
  const { page } = visit;
  await openGraphiQL(page, app.url);
  await page.check('#remember');
  await enterKey(page, 'kite9-nobodyknowsthiskey', 'refused');
  await enterKey(page, app.admin);
  await openGraphiQL(page, app.url);
  await page.locator('#state.known').waitFor();
  expect(await page.inputValue('#key')).toBe(app.admin);
  // Storage writes are reported asynchronously.
  await expect.poll(() => [...new Set(visit.written)]).toEqual([`session kitestring-api-key ${app.admin}`]);
  await page.uncheck('#remember');
  // Evaluate once per poll: the page's policy blocks code that Playwright would repeat inside the page.
  await expect.poll(() => page.evaluate('sessionStorage.length')).toBe(0);
});

test('GraphiQL drops a remembered key that is rejected, and still shows the schema', async () => {
  await using visit = await openWindow(browser);
  const { page } = visit;
  await page.addInitScript(`sessionStorage.setItem('kitestring-api-key', 'kite9-revokedmeanwhile')`);
  await openGraphiQL(page, app.url);
  expect(await page.inputValue('#key')).toBe('');
  expect(await page.innerText('#state')).toBe('Invalid API key');
  expect(await page.evaluate('sessionStorage.length')).toBe(0);
});

test('GraphiQL reports a wrong key in the bar and in the response', async () => {
  await using visit = await openWindow(browser);
  await openGraphiQL(visit.page, app.url);
  await enterKey(visit.page, 'kite9-nobodyknowsthiskey', 'refused');
  expect(await visit.page.innerText('#state')).toBe('Invalid API key');
  await runExample(visit.page, 'Clusters', 'Invalid API key');
});

test('GraphiQL sends the key only to /graphql', async () => {
  await using visit = await openWindow(browser);
  const { page } = visit;
  await openGraphiQL(page, app.url);
  await enterKey(page, app.admin);
  expect(await page.evaluate(`fetch('${CLUSTERS}').then(({ status }) => status)`)).toBe(401);
});

test('an anonymous visitor of GraphiQL sees the schema, but no data', async () => {
  const canary = 'canary-of-the-registry';
  await app.rest('POST', CLUSTERS, { name: canary });
  await using visit = await openWindow(browser);
  await openGraphiQL(visit.page, app.url);
  expect(await visit.page.innerText('#state')).toBe('Without a key: the schema, and no data');
  const shown = await runExample(visit.page, 'Clusters', 'UNAUTHENTICATED');
  expect(shown).not.toContain(canary);

  const [asStranger, asAdmin] = await Promise.all(
    [html, { ...html, Authorization: app.admin }].map(async (headers) => (await get('/graphql', headers)).text()),
  );
  expect(asStranger).toBe(asAdmin);
});

test('another site cannot frame GraphiQL', async () => {
  const site = createServer((_request, response) => {
    response.setHeader('Content-Type', 'text/html').end(`<iframe src="${app.url}/graphql"></iframe>`);
  });
  await new Promise<void>((listening) => site.listen(0, '127.0.0.1', listening));
  try {
    await using visit = await openWindow(browser);
    await visit.page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
    const frame = visit.page.frames()[1];
    expect(frame?.url()).toBe('chrome-error://chromewebdata/');
  } finally {
    site.close();
  }
});

test('the policy of the GraphiQL page allows no foreign content and no inline script', async () => {
  const { headers, status } = await get('/graphql', html);
  expect(status).toBe(200);
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  const policy = headers.get('content-security-policy')?.split('; ');
  expect(policy).toEqual(
    expect.arrayContaining([
      "default-src 'none'",
      "script-src 'self'",
      "connect-src 'self'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "form-action 'none'",
    ]),
  );
  const text = await (await get('/graphql', html)).text();
  const scripts = text.match(/<script[^>]*>/g) ?? [];
  expect(scripts.length).toBeGreaterThan(1);
  for (const script of scripts) expect(script).toMatch(/ src="\/graphql\/assets\/| type="application\/json"/);
});

test('GraphiQL assets have hashed names, are cached permanently, and are compressed as the browser accepts', async () => {
  const paths = await assetPaths();
  expect(paths).toHaveLength(8);
  for (const path of paths) {
    const [plain, gzip, br] = await Promise.all([
      getRaw(path, 'identity'),
      getRaw(path, 'gzip, deflate'),
      getRaw(path, 'gzip, deflate, br'),
    ]);
    expect([plain.coding, gzip.coding, br.coding]).toEqual([undefined, 'gzip', 'br']);
    expect(gunzipSync(gzip.bytes).equals(plain.bytes)).toBe(true);
    expect(brotliDecompressSync(br.bytes).equals(plain.bytes)).toBe(true);
  }
  const [path = ''] = paths;
  const { headers } = await get(path);
  expect(headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  expect(headers.get('vary')).toContain('Accept-Encoding');
  const again = await get(path, { 'If-None-Match': headers.get('etag') ?? '' });
  expect(again.status).toBe(304);
  expect((await get('/graphql/assets/unknown.js')).status).toBe(404);
});

test('only browsers get the GraphiQL page: other GET requests are GraphQL, and / redirects to the page', async () => {
  const query = '/graphql?query=%7Bviewer%7Bname%7D%7D';
  const asCurl = await get(query, { Accept: '*/*', Authorization: app.admin });
  expect(await asCurl.json()).toEqual({ data: { viewer: { name: 'test admin' } } });
  const asBrowser = await get(query, html);
  expect(asBrowser.headers.get('content-type')).toBe('text/html; charset=utf-8');
  const root = await get('/', html);
  expect([root.status, root.headers.get('location')]).toEqual([302, '/graphql']);
});

test('every GraphiQL example is valid, and all of them run in order', async () => {
  const own = await startApp();
  try {
    const results = [];
    for (const { query, variables } of EXAMPLES) {
      expect(validate(schema, parse(query)), query).toEqual([]);
      if (query.includes('subscription')) continue;
      const { data, errors } = await own.graphql(query, variables);
      expect(errors, query).toBeUndefined();
      results.push(data);
    }
    expect(results).toMatchObject([
      { clusters: { totalCount: 0 } },
      { cluster: null },
      { createCluster: { cluster: { name: 'demo-cluster', revision: 1 }, warnings: [] } },
      { updateCluster: { cluster: { revision: 2 } } },
      { importClusters: { createdCount: 1, contexts: [{ outcome: 'CREATED' }] } },
      { deleteCluster: { deletedDatabaseId: 1 } },
    ]);
  } finally {
    await own.close();
  }
});
