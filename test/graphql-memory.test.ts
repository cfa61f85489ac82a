import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { temporaryDirectory } from './support/directory.ts';
import { firstKey, startProcess } from './support/process.ts';

/** Resident memory of a process in MiB. */
function residentMB(pid: number): number {
  const [, kB] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kB) / 1024;
}

it('new documents, long or dense, do not grow memory', async () => {
  const dataDir = await temporaryDirectory();
  const server = await startProcess({ dataDir, environment: { GRAPHQL_COST_PER_MINUTE: '0' } });
  // Anonymous bodies are rejected from 16 KiB on.
  const Authorization = await firstKey(dataDir);
  let sent = 0;
  const send = async (query: string) => {
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { Authorization, 'Content-Type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    await response.arrayBuffer();
    expect([200, 400]).toContain(response.status);
  };
  const long = () => send(`{ a${sent++}: __typename @include(if: "${'x'.repeat(1024 * 1024)}") }`);
  const dense = () => send(`{ ${`a${sent++} `.repeat(1_800)} }`);
  const broken = () => send(`{ ${'x'.repeat(1024 * 1024)} ${sent++}`);
  const all = async (times: number) => {
    for (let time = 0; time < times; time++) for (const one of [long, dense, broken]) await one();
  };
  // Warm up with as many requests as are measured, so that the heap has its final size.
  await all(120);
  // A leak grows in every round; the heap itself grows in at most one of them.
  const grown: number[] = [];
  for (let round = 0; round < 2; round++) {
    const before = residentMB(server.pid);
    await all(120);
    grown.push(residentMB(server.pid) - before);
  }
  expect(Math.min(...grown)).toBeLessThan(60);
}, 120_000);
