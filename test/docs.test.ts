import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VARIABLES } from '../src/config.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';

const readme = readFileSync('README.md', 'utf8');
const contributing = readFileSync('CONTRIBUTING.md', 'utf8');

describe('the README', () => {
  it('has a row for each variable of the configuration, and none besides', () => {
    const rows = readme.matchAll(/^\| `([A-Z_]+)`(?: \(or `[A-Z_]+_FILE`\))? \| (?:`([^`]*)`)? \| (.+) \|$/gm);
    const told = Array.from(rows, ([, name, value = '', about]) => ({ name, value, about }));
    const known = Object.entries(VARIABLES).map(([name, variable]) => ({
      name,
      value: 'default' in variable ? variable.default : '',
      about: variable.about,
    }));
    expect(told).toEqual(known);
  });

  it('names only commands that are there', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
    for (const [, script] of `${readme}${contributing}`.matchAll(/npm run (?:-s )?([a-z:]+)/g))
      expect(Object.keys(scripts)).toContain(script);
  });
});

describe('the typed client of the examples', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
  });
  afterAll(() => app.close());

  it('lists the fleet', async () => {
    await app.rest('POST', CLUSTERS, { name: 'demo-cluster', isDefault: true });
    const list = spawn(process.execPath, ['examples/typed-client/list.ts', app.url, app.admin]);
    const printed: string[] = [];
    list.stdout.on('data', (chunk) => printed.push(String(chunk)));
    expect(await once(list, 'exit')).toEqual([0, null]);
    expect(printed.join('')).toMatch(/^\* demo-cluster {2}UNUSABLE/);
  });

  it('lists what is there, and follows the changes from there', async () => {
    const watch = spawn(process.execPath, ['examples/typed-client/watch.ts', app.url, app.admin]);
    try {
      const lines = createInterface({ input: watch.stdout })[Symbol.asyncIterator]();
      const next = async () => String((await lines.next()).value);
      expect(await next()).toMatch(/^demo-cluster {2}UNUSABLE/);
      // Whether the stream stands already or not: its cursor is that of the list.
      await app.rest('POST', CLUSTERS, { name: 'a-second-one' });
      expect(await next()).toMatch(/^a-second-one {2}UNUSABLE/);
      await app.rest('DELETE', `${CLUSTERS}2`);
      expect(await next()).toMatch(/gone$/);
    } finally {
      watch.kill();
    }
  });
});
