// Regenerates docs/graphiql.png from the fleet of `npm run demo`: `npm run screenshot`.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { openChromium, openWindow } from './chromium.ts';
import { enterKey, openGraphiQL, runExample } from './graphiql.ts';

const FILE = 'docs/graphiql.png';

const demo = spawn(process.execPath, ['demo/demo.ts'], { stdio: ['ignore', 'pipe', 'inherit'] });
const browser = await openChromium();
try {
  const { url, key } = await shown();
  const { page } = await openWindow(browser);
  await openGraphiQL(page, url);
  await enterKey(page, key);
  while ((await runExample(page, 'Clusters', '"stateCounts"')).includes('PENDING'));
  await page.locator('#key').blur();
  await page.screenshot({ path: FILE });
} finally {
  demo.kill();
  await browser.close();
}

/** Returns the URL of the demo and its key. */
async function shown(): Promise<{ url: string; key: string }> {
  let url: string | undefined;
  for await (const line of createInterface({ input: demo.stdout })) {
    url ??= /GraphiQL +(\S+)\/graphql/.exec(line)?.[1];
    const key = /API key +(\S+)/.exec(line)?.[1];
    if (url && key) return { url, key };
  }
  throw new Error('the demo ended');
}
