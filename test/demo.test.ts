import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryDirectory } from './support/directory.ts';
import { onTestFinished } from './support/running-test.ts';

const DEMO = fileURLToPath(new URL('../demo/demo.ts', import.meta.url));
const README = new URL('../README.md', import.meta.url);

type Live = { live: { faults: unknown[] } };
interface Answered {
  readonly clusters?: { nodes: { name: string; status: { state: string; error: { code: string } | null } }[] };
  readonly cluster?: Live;
  readonly defaultCluster?: Live;
}

/** Starts the demo with a temporary directory of its own, and reads its URL and the suggested operations. */
async function startDemo() {
  const directory = join(await temporaryDirectory(), 'tmp');
  await mkdir(directory);
  const demo = spawn(process.execPath, [DEMO], {
    env: { PATH: process.env.PATH, TMPDIR: directory, PORT: '1', DATABASE_URL: 'not read' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void demo.kill('SIGKILL'));
  const ended = once(demo, 'exit');
  const lines: string[] = [];
  for await (const line of createInterface({ input: demo.stdout })) {
    lines.push(line.trim());
    if (line.includes('Ctrl-C')) break;
  }
  const [url = ''] = /http\S+(?=\/graphql)/.exec(lines.join('\n')) ?? [];
  const [key = ''] = /kite1-\S+/.exec(lines.join('\n')) ?? [];
  const runQuery = async (query: string) => {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { Authorization: key, 'Content-Type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    return (await response.json()) as { data: Answered; errors?: unknown };
  };
  return { demo, ended, directory, runQuery, queries: lines.filter((line) => line.startsWith('{')) };
}

it('the demo shows clusters with problems, answers all suggested operations, and cleans up', async () => {
  const { demo, ended, directory, runQuery, queries } = await startDemo();
  const states = async () => {
    const { data } = await runQuery('{ clusters { nodes { name status { state error { code } } } } }');
    return Object.fromEntries(
      data.clusters?.nodes.map(({ name, status }) => [name, status.error?.code ?? status.state]) ?? [],
    );
  };
  await expect.poll(states, { timeout: 15_000 }).toEqual({
    ...{ 'production-eu': 'READY', 'production-us': 'READY', legacy: 'READY' },
    ...{ staging: 'NOT_READY', 'edge-berlin': 'REFUSED', lab: 'WRONG_CA' },
  });
  expect(queries).toHaveLength(3);
  // Only standalone operations: those inside curl commands are quoted.
  const readme = readFileSync(README, 'utf8').match(/^ {4}\{ .*(?:\n {8}.*)*/gm) ?? [];
  expect(readme.map((query) => /\w+/.exec(query)?.[0])).toEqual(['cluster', 'auditLog']);
  for (const query of [...queries, ...readme]) {
    const { data, errors } = await runQuery(query);
    expect(errors).toBeUndefined();
    expect((data.cluster ?? data.defaultCluster)?.live.faults ?? []).toEqual([]);
  }
  expect(await readdir(directory)).toHaveLength(1);
  // Ctrl-C arrives twice, from the terminal and from npm. The demo cannot distinguish the two.
  while (demo.exitCode === null && demo.signalCode === null) {
    demo.kill('SIGINT');
    await nextTurn();
  }
  expect(await ended).toEqual([0, null]);
  expect(await readdir(directory)).toEqual([]);
});
