import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { temporaryDirectory } from './support/directory.ts';
import { lengthOf } from './support/length.ts';
import { atLoad } from './support/load.ts';
import { firstKey, startProcess } from './support/process.ts';

/**
 * How often each document is sent in a round. Most are 1 MiB long, so that a round of 45 would grow memory by 90 MiB if
 * documents were kept.
 */
const TIMES = lengthOf({ short: 45, long: 120 });
const MAX_GROWTH_MB = 60;

/** Resident memory of a process in MiB. */
function residentMB(pid: number): number {
  const [, kB] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kB) / 1024;
}

it('new documents, long or dense, do not grow memory', { timeout: atLoad(120_000) }, async () => {
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
  await all(TIMES);
  // A leak grows in every round; the heap itself grows in at most one of them.
  const grown: number[] = [];
  for (let round = 0; round < 2; round++) {
    const before = residentMB(server.pid);
    await all(TIMES);
    grown.push(residentMB(server.pid) - before);
  }
  expect(Math.min(...grown)).toBeLessThan(MAX_GROWTH_MB);
});
