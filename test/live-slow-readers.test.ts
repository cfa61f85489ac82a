import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { openDatabase } from '../src/storage/database.ts';
import { CLUSTERS } from './support/app.ts';
import { CHANGES, openChanges } from './support/changes.ts';
import { locationOf } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { firstKey, type Running, startProcess } from './support/process.ts';

/** docs/architecture.md: it has ended within ten seconds of SIGTERM. */
const END_MS = 10_000;
/** Yoga sends one every twelve seconds; docs/architecture.md has fifteen. */
const COMMENT_MS = 15_000;

const ROWS = 200;
const CHANGES_MADE = 5_000;
/** Changes of one transaction. */
const AT_ONCE = 10;
/** So many characters each: what the readers are not told yet would be 250 MB, were it kept for each. */
const DESCRIPTION = 9_900;
const READERS = 5;
const MAX_GROWTH_MB = 100;

/** Bytes that a process holds in memory. */
function residentMB({ pid }: Running): number {
  const [, kB] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kB) / 1024;
}

/** Subscribes and reads no further than the head of the answer. */
async function stallingReader(server: Running, key: string): Promise<Socket> {
  const { hostname, port } = new URL(server.url);
  const socket = connect({ host: hostname, port: Number(port) });
  onTestFinished(() => void socket.destroy());
  const body = JSON.stringify({ query: CHANGES });
  socket.write(
    `POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${key}\r\nContent-Type: application/json\r\n` +
      `Accept: text/event-stream\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await once(socket, 'readable');
  return socket;
}

it('readers that stand still cost no memory, others hear all the same, comments keep a quiet stream, and SIGTERM ends them all', async () => {
  const dataDir = await temporaryDirectory();
  const server = await startProcess({ dataDir, environment: { METRICS_PORT: '0' } });
  const key = await firstKey(dataDir);
  const ask = async (path: string, body: object, method = 'POST') => {
    const headers = { Authorization: key, 'Content-Type': 'application/json' };
    const response = await fetch(`${server.url}${path}`, { method, headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    return response.json();
  };
  for (let row = 0; row < ROWS; row++) await ask(CLUSTERS, { name: `c${row}`, enabled: false });
  // As another server over the same file makes them: several times as fast as over HTTP.
  const database = await openDatabase(locationOf(dataDir));
  onTestFinished(() => database.close());
  let made = 0;
  const change = async (count: number) => {
    for (const end = made + count; made < end; )
      await database.write('registry', async (tx, { registry = 0 }) => {
        for (let one = 0; one < AT_ONCE; one++, made++) {
          const data = { description: `${made}`.padEnd(DESCRIPTION, 'x'), registryChange: registry };
          await tx.cluster.update({ where: { name: `c${made % ROWS}` }, data, select: { id: true } });
        }
      });
  };

  await change(500);
  const readers = await Promise.all(Array.from({ length: READERS }, () => stallingReader(server, key)));
  await change(500);
  const before = residentMB(server);
  await change(CHANGES_MADE);
  expect(residentMB(server) - before).toBeLessThan(MAX_GROWTH_MB);

  // One who reads hears the last change all the same.
  const reading = await openChanges(server, key);
  const last = reading.until(({ cluster }) => cluster?.name === 'last');
  await ask(CLUSTERS, { name: 'last', enabled: false });
  await last;
  expect(readers.every((socket) => !socket.destroyed)).toBe(true);

  const idle = await openChanges(server, key);
  const ended = [idle.next(), reading.next()];
  // The first one comes with the head.
  await expect.poll(() => idle.comments(), { timeout: 2 * COMMENT_MS }).toBeGreaterThan(1);
  const began = performance.now();
  const { code } = await server.stop();
  expect(performance.now() - began).toBeLessThan(END_MS);
  expect(code).toBe(0);
  expect(await Promise.all(ended)).toEqual([undefined, undefined]);
}, 120_000);
