import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, it, vi } from 'vitest';
import { CLUSTERS, type TestApp } from './support/app.ts';
import { temporaryDirectory } from './support/directory.ts';
import { startProcess } from './support/process.ts';
import { freshApp, sendBytes } from './support/wire.ts';

interface Line {
  readonly requestId: string;
  readonly path: string;
  readonly aborted?: boolean;
}

const linesOf = (app: TestApp): Line[] =>
  app
    .logged()
    .split('\n')
    .filter((line) => line.includes('"msg":"request"'))
    .map((line) => JSON.parse(line));

const get = (app: TestApp, path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: ${new URL(app.url).host}\r\nAuthorization: ${app.admin}\r\n${more}\r\n`;

it('a request writes one log line with the id of its response, and nothing of the request except method and path', async () => {
  const app = await freshApp();
  const answer = await app.rest('GET', `${CLUSTERS}?token=a-secret`);
  const refused = await app.rest('GET', '/api/"quoted"/%22ü', undefined, {});
  const line = (path: string, status: number, requestId: string | null) => ({
    ...{ level: 30, time: expect.any(Number), pid: process.pid, hostname: expect.any(String) },
    ...{ requestId, method: 'GET', path, status, ms: expect.any(Number), msg: 'request' },
  });
  await vi.waitFor(() => expect(linesOf(app)).toHaveLength(2));
  expect(linesOf(app)).toEqual([
    line(CLUSTERS, 200, answer.headers.get('x-request-id')),
    line('/api/%22quoted%22/%22%C3%BC', 401, refused.headers.get('x-request-id')),
  ]);
  expect(app.logged()).not.toContain('a-secret');
});

it('a path is escaped so that the log line stays valid JSON', async () => {
  const app = await freshApp();
  await sendBytes(app, get(app, '/api/"\\', 'Connection: close\r\n'));
  await vi.waitFor(() => expect(linesOf(app)).toEqual([expect.objectContaining({ path: '/api/"\\' })]));
});

it('pipelined requests are answered in order, and a client that disconnects affects no other', async () => {
  const app = await freshApp();
  await app.rest('GET', CLUSTERS);
  const { hostname, port } = new URL(app.url);
  const leaving = connect({ host: hostname, port: Number(port) });
  await once(leaving, 'connect');
  leaving.write(get(app, CLUSTERS).repeat(20), () => leaving.destroy());

  const paths = [CLUSTERS, '/healthz', CLUSTERS, '/api/v1/nothing', '/graphql?query={__typename}', CLUSTERS];
  const asked = paths.map((path, at) => get(app, path, at === paths.length - 1 ? 'Connection: close\r\n' : ''));
  const text = await sendBytes(app, asked.join(''));
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status));
  expect(statuses).toEqual([200, 200, 200, 404, 200, 200]);
  expect((await app.rest('GET', CLUSTERS)).status).toBe(200);
});

it('log lines are written whole and in order, whatever their length and script', async () => {
  const write = `
    import { openLog } from ${JSON.stringify(new URL('../src/log.ts', import.meta.url).href)};
    const log = await openLog({ level: 'info', pretty: false });
    for (let at = 0; at < 300; at++) log.info({ at, text: 'ü漢'.repeat(at % 7 === 0 ? 9000 : at) }, 'written');
  `;
  const { output, stop } = await startProcess({ dataDir: await temporaryDirectory(), before: write });
  await stop();
  const lines = output()
    .split('\n')
    .filter((line) => line.includes('"msg":"written"'))
    .map((line) => JSON.parse(line) as { at: number; text: string });
  expect(lines.map(({ at, text }) => [at, text.length, /^(ü漢)*$/.test(text)])).toEqual(
    Array.from({ length: 300 }, (_, at) => [at, (at % 7 === 0 ? 9000 : at) * 2, true]),
  );
});
