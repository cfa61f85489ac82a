// Makes docs/graphiql.png anew: `npm run screenshot`.
import { mkdir } from 'node:fs/promises';
import { EXAMPLES } from '../../src/server/graphiql/examples.ts';
import { startApp } from './app.ts';
import { openChromium, openWindow } from './chromium.ts';
import { enterKey, openGraphiQL, runExample } from './graphiql.ts';

const FILE = 'docs/graphiql.png';

const app = await startApp();
const browser = await openChromium();
try {
  const create = EXAMPLES.find(({ query }) => query.includes('mutation CreateCluster'));
  for (const [name, env] of [
    ['shop-production', 'production'],
    ['shop-staging', 'staging'],
  ]) {
    const input = { ...Object(create?.variables).input, name, labels: [{ key: 'env', value: env }] };
    await app.graphql(create?.query ?? '', { input });
  }
  const { page } = await openWindow(browser);
  await openGraphiQL(page, app.url);
  await enterKey(page, app.admin);
  await runExample(page, 'Clusters', '"shop-production"');
  await page.locator('#key').blur();
  await mkdir('docs', { recursive: true });
  await page.screenshot({ path: FILE });
} finally {
  await browser.close();
  await app.close();
}
