import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VARIABLES } from '../src/config/variables.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';

const readme = readFileSync('README.md', 'utf8');
const contributing = readFileSync('CONTRIBUTING.md', 'utf8');

describe('the README', () => {
  it('the README documents every configuration variable, and no others', () => {
    const rows = readme.matchAll(/^\| `([A-Z_]+)`(?: \(or `[A-Z_]+_FILE`\))? \| (?:`([^`]*)`)? \| (.+) \|$/gm);
    const documented = Array.from(rows, ([, name, value = '', about]) => ({ name, value, about }));
    const known = Object.entries(VARIABLES).map(([name, variable]) => ({
      name,
      value: 'default' in variable ? variable.default : '',
      about: variable.about,
    }));
    expect(documented).toEqual(known);
  });

  it('the README and CONTRIBUTING mention only existing npm scripts', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
    for (const [, script] of `${readme}${contributing}`.matchAll(/npm run (?:-s )?([a-z:]+)/g))
      expect(Object.keys(scripts)).toContain(script);
  });
});

describe('the typed client example', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
  });
  afterAll(() => app.close());

  it('the example list.ts lists the fleet', async () => {
    await app.rest('POST', CLUSTERS, { name: 'demo-cluster', isDefault: true });
    const list = spawn(process.execPath, ['examples/typed-client/list.ts', app.url, app.admin]);
    const printed: string[] = [];
    list.stdout.on('data', (chunk) => printed.push(String(chunk)));
    expect(await once(list, 'exit')).toEqual([0, null]);
    expect(printed.join('')).toMatch(/^\* demo-cluster {2}UNUSABLE/);
  });

  it('the example watch.ts lists the fleet and follows its changes', async () => {
    const watch = spawn(process.execPath, ['examples/typed-client/watch.ts', app.url, app.admin]);
    try {
      const lines = createInterface({ input: watch.stdout })[Symbol.asyncIterator]();
      const next = async () => String((await lines.next()).value);
      expect(await next()).toMatch(/^demo-cluster {2}UNUSABLE/);
      // The stream need not be open yet: it starts at the cursor of the list.
      await app.rest('POST', CLUSTERS, { name: 'a-second-one' });
      expect(await next()).toMatch(/^a-second-one {2}UNUSABLE/);
      await app.rest('DELETE', `${CLUSTERS}2`);
      expect(await next()).toMatch(/removed$/);
    } finally {
      watch.kill();
    }
  });
});
