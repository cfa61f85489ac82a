import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import { openDatabase } from '../src/storage/open-database.ts';
import { CLUSTERS } from './support/app.ts';
import { CHANGES, openChanges } from './support/changes.ts';
import { locationOf } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { lengthOf } from './support/length.ts';
import { atLoad } from './support/load.ts';
import { firstKey, type Running, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

/** docs/architecture.md: the process exits within ten seconds of SIGTERM. */
const END_MS = 10_000;
/** Yoga sends a comment every twelve seconds; docs/architecture.md promises fifteen. */
const COMMENT_MS = 15_000;

const ROWS = 200;
const CHANGES_MADE = lengthOf({ short: 3_000, long: 5_000 });
/** Changes per transaction. */
const AT_ONCE = 10;
/** Characters per description. If the server buffered every unsent change for each reader, it would hold 150 MB or more. */
const DESCRIPTION = 9_900;
const READERS = 5;
const MAX_GROWTH_MB = 100;

/** Returns the resident memory of a process. */
function residentMB({ pid }: Running): number {
  const [, kB] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kB) / 1024;
}

/** Subscribes and stops reading after the response headers. */
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

it('slow readers cost no memory and delay no other reader, comments keep a quiet stream open, and SIGTERM ends all streams', {
  timeout: atLoad(120_000),
}, async () => {
  const dataDir = await temporaryDirectory();
  const server = await startProcess({ dataDir, environment: { METRICS_PORT: '0' } });
  const key = await firstKey(dataDir);
  const sendRequest = async (path: string, body: object, method = 'POST') => {
    const headers = { Authorization: key, 'Content-Type': 'application/json' };
    const response = await fetch(`${server.url}${path}`, { method, headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    return response.json();
  };
  for (let row = 0; row < ROWS; row++) await sendRequest(CLUSTERS, { name: `c${row}`, enabled: false });
  // The test writes the changes as another server over the same file does, which is several times as fast as over HTTP.
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

  // A reader that keeps reading still receives the last change.
  const reading = await openChanges(server, key);
  const last = reading.until(({ cluster }) => cluster?.name === 'last');
  await sendRequest(CLUSTERS, { name: 'last', enabled: false });
  await last;
  expect(readers.every((socket) => !socket.destroyed)).toBe(true);

  const idle = await openChanges(server, key);
  const ended = [idle.next(), reading.next()];
  // The first comment arrives with the response headers.
  await expect.poll(() => idle.comments(), { timeout: 2 * COMMENT_MS }).toBeGreaterThan(1);
  const began = performance.now();
  const { code } = await server.stop();
  expect(performance.now() - began).toBeLessThan(atLoad(END_MS));
  expect(code).toBe(0);
  expect(await Promise.all(ended)).toEqual([undefined, undefined]);
});
