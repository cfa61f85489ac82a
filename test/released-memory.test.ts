import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { pino } from 'pino';
import { expect, it, vi } from 'vitest';
import { serve } from '../src/app.ts';
import type { Logger } from '../src/log.ts';
import { HttpExchange } from '../src/server/http-exchange.ts';
import { listen } from '../src/server/listen.ts';
import { MemoryBudget } from '../src/server/memory-budget.ts';
import { Metrics } from '../src/server/metrics.ts';
import { CLUSTERS, type TestApp } from './support/app.ts';
import { onTestFinished } from './support/running-test.ts';
import { freshApp } from './support/wire.ts';

const API_KEYS = '/api/v1/admin/apikeys/';
const KEYS = 60;

/** A memory budget that counts how many holdings were opened and how many are open. */
class WatchedBudget extends MemoryBudget {
  opened = 0;
  openCount = 0;

  override open(...caller: Parameters<MemoryBudget['open']>) {
    const holding = super.open(...caller);
    this.opened++;
    this.openCount++;
    const release = holding.release.bind(holding);
    let isReleased = false;
    holding.release = () => {
      if (!isReleased) this.openCount--;
      isReleased = true;
      release();
    };
    return holding;
  }
}

async function watched() {
  const app = await freshApp({ GRAPHQL_COST_PER_MINUTE: '0' });
  for (let key = 0; key < KEYS; key++) await app.rest('POST', API_KEYS, { name: `${key} ${'x'.repeat(240)}` });
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => lines.push(line) }) as unknown as Logger;
  const memory = new WatchedBudget();
  const { url, retire } = await serve(app.config, log, app.domain, { memory });
  onTestFinished(retire);
  return { app: { ...app, url }, memory, logged: () => lines.join('') };
}

/** Sends a request, or the given part of it, and disconnects immediately, or once the given text has arrived. */
async function leave(
  { url }: Pick<TestApp, 'url'>,
  text: string,
  { after }: { after?: Promise<void> } = {},
): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', () => {});
  await once(socket, 'connect');
  await new Promise<void>((resolve) => void socket.write(text, () => resolve()));
  await after;
  socket.destroy();
}

const large = JSON.stringify({ name: 'x', description: 'y', unknown: 'z'.repeat(20_000) });

it('a caller holds no memory after requests of every kind whose client disconnected', async () => {
  const { app, memory } = await watched();
  const key = `Host: localhost\r\nAuthorization: ${app.admin}\r\n`;
  const post = (path: string, body: string, length = body.length) =>
    `POST ${path} HTTP/1.1\r\n${key}Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;
  const query = JSON.stringify({ query: `{ apiKeys(first: 100) { nodes { name } } } # ${'x'.repeat(20_000)}` });
  const requests = [
    `GET ${API_KEYS} HTTP/1.1\r\n${key}\r\n`,
    `GET ${CLUSTERS} HTTP/1.1\r\n${key}\r\n`,
    post(CLUSTERS, large),
    post(CLUSTERS, large, large.length + 1),
    post(`${CLUSTERS}import`, JSON.stringify({ config: 'x'.repeat(20_000) })),
    post(API_KEYS, '{"name":"one"}'),
    post('/api/auth/logout', large),
    post('/graphql', query),
    post('/graphql', query, query.length + 1),
    `POST /graphql HTTP/1.1\r\n${key}Accept: text/event-stream\r\nContent-Length: 59\r\n\r\n{"query":"subscription { clusterChanged { __typename } }"  }`,
    `DELETE ${CLUSTERS}999 HTTP/1.1\r\n${key}\r\n`,
  ];
  for (const request of requests) for (let turn = 0; turn < 5; turn++) await leave(app, request);
  await vi.waitFor(() => expect(memory.opened).toBeGreaterThan(0));
  await vi.waitFor(() => expect([memory.held, memory.openCount]).toEqual([0, 0]), { timeout: 5_000 });
});

it('a request whose client disconnects early holds its body until its work has ended, and nothing afterwards', async () => {
  const { app, memory, logged } = await watched();
  const started = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const { apiKeys } = app.domain;
  const create = apiKeys.create.bind(apiKeys);
  const spy = vi.spyOn(apiKeys, 'create').mockImplementation(async (...given) => {
    started.resolve();
    await goOn.promise;
    return create(...given);
  });
  onTestFinished(() => spy.mockRestore());
  const body = JSON.stringify({ name: 'late', unknown: 'x'.repeat(100_000) });
  const head = `Host: localhost\r\nAuthorization: ${app.admin}\r\nContent-Length: ${body.length}\r\n\r\n`;
  await leave(app, `POST ${API_KEYS} HTTP/1.1\r\n${head}${body}`, { after: started.promise });
  await vi.waitFor(() => expect(logged()).toContain('"aborted":true'));
  expect(memory.held).toBeGreaterThanOrEqual(100_000);
  goOn.resolve();
  await vi.waitFor(() => expect([memory.held, memory.openCount]).toEqual([0, 0]));
});

it('a request that is over opens no holding that stays open', async () => {
  const memory = new WatchedBudget();
  const server = createServer((request, response) => {
    const exchange = new HttpExchange(request, response, {
      ...{ log: pino({ level: 'silent' }), metrics: new Metrics(), allowedOrigins: [], memory },
      clientOf: () => ({ address: undefined, secure: false }),
    });
    response.once('close', () => {
      exchange.leave();
      expect([exchange.holding(null).grow(1), exchange.holding(null).holdResponse(Buffer.alloc(1))]).toEqual([
        false,
        false,
      ]);
      checked.resolve();
    });
    response.end();
  });
  const checked = Promise.withResolvers<void>();
  onTestFinished(await listen(server, { host: '127.0.0.1', port: 0 }));
  await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await checked.promise;
  expect([memory.opened, memory.openCount, memory.held]).toEqual([1, 0, 0]);
});
