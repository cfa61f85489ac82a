import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openKiteUi } from '../src/server/kite-ui.ts';
import { StartupError } from '../src/storage/startup-error.ts';
import { startApp, type TestApp } from './support/app.ts';
import { openChromium, openWindow } from './support/chromium.ts';
import { temporaryDirectory } from './support/directory.ts';
import { builtUi, OUTSIDE } from './support/kite-ui.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';
import { freshApp, send } from './support/wire.ts';

const html = { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

describe("Kite's web UI in a browser", () => {
  it("Kite's web UI can set up, import, sign out and in, and list and change clusters", {
    timeout: atLoad(60_000),
  }, async () => {
    const app = await freshApp({ KITE_UI_DIR: await builtUi(await temporaryDirectory()) });
    const browser = await openChromium();
    onTestFinished(() => browser.close());
    await using visit = await openWindow(browser);
    const { page } = visit;

    await page.goto(app.url);
    await page.waitForURL('**/setup');
    await page.fill('[name=username]', 'ada');
    await page.fill('[name=password]', 'short');
    await page.click('button');
    await page.locator('output', { hasText: 'password' }).waitFor();
    await page.fill('[name=password]', 'correct horse battery');
    await page.click('button');
    await page.fill('[name=config]', JSON.stringify(kubeconfig()));
    await page.click('button');
    await page.locator('#clusters').waitFor();
    const imported = await page.innerText('#clusters');
    expect([await page.innerText('#user'), imported]).toEqual(['ada admin', expect.stringMatching(/./)]);

    await page.goto(`${app.url}/settings?tab=clusters`);
    expect(await page.innerText('#list')).toBe(`${imported} true - false\nchanged here false - false`);

    await page.goto(app.url);
    await page.click('#leave');
    await page.waitForURL('**/login');
    const names = (await page.context().cookies()).map(({ name }) => name);
    expect(names).not.toContain('auth_token');
    await page.fill('[name=username]', 'ada');
    await page.fill('[name=password]', 'wrong horse battery');
    await page.click('button');
    await page.locator('output', { hasText: 'invalid credentials' }).waitFor();
    await page.fill('[name=password]', 'correct horse battery');
    await page.click('button');
    await page.locator('#clusters', { hasText: imported }).waitFor();

    const cookie = (await page.context().cookies()).find(({ name }) => name === 'auth_token');
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Lax', path: '/' });
    expect(await page.evaluate('document.cookie')).not.toContain('auth_token');
    expect(await page.evaluate('window.inlineRan')).toBe(true);
    expect(visit.requestedUrls.filter((url) => !url.startsWith(app.url))).toEqual([]);
    // The browser reports the error responses that the page shows, and no violation of the policy.
    expect(visit.complaints.filter((text) => !/status of 40[01]/.test(text))).toEqual([]);
  });
});

describe('the directory of KITE_UI_DIR', () => {
  let app: TestApp;
  let parent: string;
  beforeAll(async () => {
    parent = await mkdtemp(join(tmpdir(), 'kitestring-'));
    app = await startApp({ KITE_UI_DIR: await builtUi(parent) });
  });
  afterAll(async () => {
    await app.close();
    await rm(parent, { recursive: true, force: true });
  });

  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    send(app, { method, path, headers });

  it('files of KITE_UI_DIR are served with their content types', async () => {
    for (const [path, type] of [
      ['/', 'text/html; charset=utf-8'],
      ['/index.html', 'text/html; charset=utf-8'],
      ['/assets/index-B7x_q2Zk.js', 'text/javascript; charset=utf-8'],
      ['/assets/index-D4fGh5Jk.css', 'text/css; charset=utf-8'],
      ['/assets/icon-CjHkxMDC.svg', 'image/svg+xml'],
      ['/robots.txt', 'text/plain; charset=utf-8'],
      ['/with%20space.txt', 'text/plain; charset=utf-8'],
      ['/inside.txt', 'text/plain; charset=utf-8'],
    ] as const) {
      const { status, headers } = await get(path);
      expect([path, status, headers['content-type'], headers['x-content-type-options']]).toEqual([
        path,
        200,
        type,
        'nosniff',
      ]);
      expect((await get(path, {}, 'HEAD')).text).toBe('');
    }
  });

  it('a route of the UI gets its page, and other paths do not', async () => {
    const { text } = await get('/');
    for (const path of ['/setup', '/login', '/settings?tab=clusters', '/pods/default/name.with.dots', '/none.txt'])
      expect(await get(path, html)).toMatchObject({ status: 200, text });
    for (const path of ['/setup', '/none.txt', '/favicon.ico'])
      expect((await get(path, { Accept: '*/*' })).status).toBe(404);
    for (const path of ['/assets/none.js', '/assets/']) expect((await get(path, html)).status).toBe(404);
    for (const method of ['POST', 'PUT', 'DELETE']) expect((await get('/setup', html, method)).status).toBe(404);
  });

  it('files of KITE_UI_DIR never replace responses of the gateway', async () => {
    expect((await get('/api/v1/init_check', html)).text).toBe('{"initialized":false,"step":0}');
    expect((await get('/healthz', html)).text).toBe('{"status":"ok"}');
    expect((await get('/metrics', html)).status).toBe(401);
    expect((await get('/graphql', html)).text).toContain('GraphiQL');
    expect((await get('/openapi.json', html)).text).toContain('"openapi"');
    for (const path of [
      '/api/none',
      '/api/v1/admin/none',
      '/graphql/none',
      '/openapi.none',
      '/metrics/index.html',
      '/healthz/none',
      '/readyz/none',
    ])
      expect([path, (await get(path, html)).text.includes('<div id="root">')]).toEqual([path, false]);
    for (const path of ['/%61pi/v1/init_check', '/%67raphql', '/healthz%2f', '/%68ealthz', '/API/v1/init_check'])
      expect([path, (await get(path, html)).status]).toEqual([path, 404]);
  });

  it.each([
    ...['/../secret.txt', '/assets/../../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/%2e%2e%2fsecret.txt'],
    ...[
      '/assets/..%2f..%2fsecret.txt',
      '/..%5csecret.txt',
      '/..\\secret.txt',
      '/%252e%252e/secret.txt',
      '//secret.txt',
    ],
    ...['/./secret.txt', '/secret.txt', '/..;/secret.txt', '/%c0%ae%c0%ae/secret.txt', '/secret.txt%00.js', '/%'],
    ...[
      '/.env',
      '/%2eenv',
      '/.git/config',
      '/assets/.hidden.js',
      '/link.txt',
      '/beside/secret.txt',
      '/beside',
      '/env.txt',
      '/broken.txt',
    ],
    'http://127.0.0.1/../secret.txt',
  ])('the path %s does not leave KITE_UI_DIR', async (path) => {
    for (const headers of [{}, html]) {
      const { status, text } = await get(path, headers);
      expect(text).not.toContain(OUTSIDE);
      expect(status === 404 || text.includes('<div id="root">')).toBe(true);
    }
    expect((await get(path)).status).toBe(404);
  });

  it('UI files with hashed names are cached permanently, and others are revalidated', async () => {
    const cached = async (path: string) => (await get(path)).headers['cache-control'];
    for (const path of ['/assets/index-B7x_q2Zk.js', '/assets/icon-CjHkxMDC.svg'])
      expect(await cached(path)).toBe('public, max-age=31536000, immutable');
    for (const path of ['/', '/robots.txt']) expect(await cached(path)).toBe('no-cache');
    const { headers } = await get('/');
    expect((await get('/', { 'If-None-Match': String(headers.etag) })).status).toBe(304);
  });

  it('the UI has a policy that allows no foreign content and no unlisted script', async () => {
    for (const path of ['/', '/setup', '/assets/index-B7x_q2Zk.js']) {
      const policy = String((await get(path, html)).headers['content-security-policy']);
      expect(policy).toMatch(/^default-src 'none'; script-src 'self' 'sha256-[^']+' 'sha256-[^']+';/);
      expect(policy).toMatch(/connect-src 'self'.*frame-ancestors 'self'.*base-uri 'none'/);
      expect(policy).not.toMatch(/https?:|\*|unsafe-eval|script-src[^;]*unsafe-inline/);
    }
  });

  it('the start fails if KITE_UI_DIR has no page or cannot be read', async () => {
    const directory = await temporaryDirectory();
    await expect(openKiteUi(directory)).rejects.toThrow(/^KITE_UI_DIR names .*index\.html/);
    await expect(openKiteUi(join(directory, 'none'))).rejects.toThrow(/^KITE_UI_DIR names .*ENOENT/);
    await expect(openKiteUi(join(directory, 'none'))).rejects.toBeInstanceOf(StartupError);
  });
});

it('without KITE_UI_DIR, / redirects to GraphiQL, and there is no other page', async () => {
  const app = await freshApp();
  const { status, headers } = await send(app, { path: '/', headers: html });
  expect([status, headers.location]).toEqual([302, '/graphql']);
  expect((await send(app, { path: '/setup', headers: html })).status).toBe(404);
});
