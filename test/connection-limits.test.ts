import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it, vi } from 'vitest';
import { serve } from '../src/app.ts';
import { openLog } from '../src/log.ts';
import {
  CONNECTION_LIMITS,
  ConnectionGuard,
  type ConnectionLimits,
  connectionShares,
} from '../src/server/connection-guard.ts';
import type { HttpLimits } from '../src/server/http.ts';
import { listen } from '../src/server/listen.ts';
import type { TestApp } from './support/app.ts';
import { onTestFinished } from './support/running-test.ts';
import { freshApp } from './support/wire.ts';

/** Starts a server with the limits of the test, and its registry. */
async function startLimited(limits: Partial<HttpLimits>, environment: Record<string, string> = {}) {
  const app = await freshApp(environment);
  const log = await openLog({ level: 'silent', pretty: false });
  const { url, retire } = await serve(app.config, log, app.domain, { limits });
  onTestFinished(retire);
  return { ...app, url };
}

/** Opens a connection from `localAddress`. */
async function open({ url }: Pick<TestApp, 'url'>, localAddress = '127.0.0.1'): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), localAddress });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

const HEALTH = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';
const LAST_HEALTH = HEALTH.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n');

describe('connections per address', () => {
  it('one address has a limited share of connections, and another address is still served', async () => {
    const app = await startLimited({ perAddress: 3 });
    const held = [await open(app), await open(app), await open(app)];
    const refused = await open(app);
    refused.write(LAST_HEALTH);
    expect(await text(refused).catch(() => '')).toBe('');
    const another = await open(app, '127.0.0.2');
    another.write(LAST_HEALTH);
    expect(await text(another)).toMatch(/^HTTP\/1\.1 200 /);
    held[0]?.destroy();
    await vi.waitFor(async () => {
      const next = await open(app);
      next.write(LAST_HEALTH);
      expect(await text(next).catch(() => '')).toMatch(/^HTTP\/1\.1 200 /);
    });
  });

  it.each([
    [4_096, 1_024],
    [192, 48],
    [32, 8],
  ])('of %i connections, one address gets at most %i', (connections, perAddress) => {
    expect(connectionShares(connections)).toEqual({ connections, perAddress });
  });

  it('another address is still served if few file descriptors are left for callers', async () => {
    const app = await freshApp();
    const log = await openLog({ level: 'silent', pretty: false });
    const domain = { ...app.domain, descriptors: { limit: 64, callers: 8, clusters: 24 } };
    const { url, retire } = await serve(app.config, log, domain);
    onTestFinished(retire);
    for (let count = 0; count < 8; count++) await open({ url });
    const another = await open({ url }, '127.0.0.2');
    another.write(LAST_HEALTH);
    expect(await text(another)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('a trusted proxy has no limit itself: each address it forwards has a share of the open requests', async () => {
    const app = await startLimited({ perAddress: 2 }, { TRUSTED_PROXIES: '127.0.0.1' });
    const from = (address: string) => ({ Authorization: app.admin, 'X-Forwarded-For': address });
    const stream = async (address: string) => {
      const response = await fetch(`${app.url}/graphql`, {
        method: 'POST',
        headers: { ...from(address), 'Content-Type': 'application/json', Accept: 'text/event-stream' },
        body: '{"query":"subscription { clusterChanged { __typename } }"}',
      });
      onTestFinished(async () => await response.body?.cancel().catch(() => {}));
      return response;
    };
    const held = [await stream('203.0.113.7'), await stream('203.0.113.7')];
    expect(held.map(({ status }) => status)).toEqual([200, 200]);
    const requestFrom = (address: string) => fetch(`${app.url}/api/v1/clusters`, { headers: from(address) });
    const refused = await requestFrom('203.0.113.7');
    expect([refused.status, refused.headers.get('retry-after'), await refused.json()]).toEqual([
      429,
      '1',
      { error: 'Too many requests from your address are open at once: wait until some of them have finished' },
    ]);
    expect((await stream('203.0.113.8')).status).toBe(200);
    await held[0]?.body?.cancel();
    await vi.waitFor(async () => expect((await requestFrom('203.0.113.7')).status).toBe(200));
  });
});

/** Starts a server that hands its requests to the test, which answers them. */
async function answeredByTest(limits: Partial<ConnectionLimits> = {}) {
  const handled: ServerResponse[] = [];
  const connections = new ConnectionGuard({ ...CONNECTION_LIMITS, keepAliveMs: 1_000, ...limits }, () => false);
  const server = createServer((request, response) =>
    connections.take(request, response, (_request, taken) => void handled.push(taken)),
  );
  connections.guard(server);
  onTestFinished(await listen(server, { host: '127.0.0.1', port: 0 }));
  const { port } = server.address() as AddressInfo;
  const next = () =>
    vi.waitFor(() => {
      const response = handled.shift();
      if (!response) throw new Error('no request has come');
      return response;
    });
  return { url: `http://127.0.0.1:${port}`, handled, next };
}

describe('pipelined requests on one connection', () => {
  it('handles pipelined requests one after another', async () => {
    const server = await answeredByTest();
    const socket = await open(server);
    socket.write(HEALTH.repeat(3));
    for (let count = 1; count <= 3; count++) {
      await vi.waitFor(() => expect(server.handled).toHaveLength(count));
      await new Promise(setImmediate);
      expect(server.handled).toHaveLength(count);
      server.handled.at(-1)?.end('done');
    }
  });

  it('closes a connection with more than eight pipelined requests', async () => {
    const server = await answeredByTest();
    const socket = await open(server);
    socket.write(HEALTH.repeat(2_000));
    await new Promise((resolve) => socket.once('close', resolve));
    expect(server.handled).toHaveLength(1);
  });

  it('a connection that is closed for too many pipelined requests counts against its address for a while', async () => {
    const server = await answeredByTest({ perAddress: 1, stallMs: 1_000 });
    const flood = await open(server);
    flood.write(HEALTH.repeat(2_000));
    await new Promise((resolve) => flood.once('close', resolve));
    const refused = await open(server);
    refused.write(HEALTH);
    await new Promise((resolve) => refused.once('close', resolve));
    expect(server.handled).toHaveLength(1);
    const another = await open(server, '127.0.0.2');
    another.write(HEALTH);
    await vi.waitFor(() => expect(server.handled).toHaveLength(2));
    await vi.waitFor(async () => {
      (await open(server)).write(HEALTH);
      await vi.waitFor(() => expect(server.handled).toHaveLength(3));
    }, 10_000);
  });

  it('a closed connection creates no stack trace for each of its unanswered requests', async () => {
    const errors: Error[] = [];
    const limit = Error.stackTraceLimit;
    const guarded = createServer((request) => void request.once('error', (error) => errors.push(error)));
    new ConnectionGuard({ ...CONNECTION_LIMITS, keepAliveMs: 1_000 }, () => false).guard(guarded);
    onTestFinished(await listen(guarded, { host: '127.0.0.1', port: 0 }));
    const socket = await open({ url: `http://127.0.0.1:${(guarded.address() as AddressInfo).port}` });
    socket.write(HEALTH.replace('\r\n\r\n', '\r\nContent-Length: 5\r\n\r\n'));
    await once(guarded, 'request');
    socket.destroy();
    await vi.waitFor(() => expect(errors).toHaveLength(1));
    expect(errors[0]?.stack?.split('\n')).toHaveLength(1);
    expect(Error.stackTraceLimit).toBe(limit);
  });

  it('answers pipelined requests in order', async () => {
    const app = await startLimited({});
    const socket = await open(app);
    const paths = ['/healthz', '/none', '/readyz'];
    const heads = paths.map((path) => HEALTH.replace('/healthz', path));
    socket.write(heads.join('') + LAST_HEALTH);
    const answers = (await text(socket)).matchAll(/HTTP\/1\.1 (\d+) /g);
    expect(Array.from(answers, ([, status]) => status)).toEqual(['200', '404', '200', '200']);
  });
});

describe('a client that does not read', () => {
  const LARGE = Buffer.alloc(32 * 1024 * 1024, 'x');

  it('disconnects a client that does not read, for a single response and for a stream', async () => {
    const server = await answeredByTest({ stallMs: 200 });
    const whole = await open(server);
    whole.pause().write(HEALTH);
    const first = await server.next();
    first.end(LARGE);
    const stream = await open(server);
    stream.pause().write(HEALTH);
    const second = await server.next();
    const writeMore = () => {
      while (second.write(LARGE.subarray(0, 64 * 1024)));
    };
    second.on('drain', writeMore);
    writeMore();
    for (const response of [first, second]) {
      await new Promise((resolve) => response.once('close', resolve));
      expect([response.destroyed, response.writableFinished]).toEqual([true, false]);
    }
  });

  it('does not disconnect a client that reads, nor one whose response is still being computed', async () => {
    const server = await answeredByTest({ stallMs: 400 });
    const waiting = await open(server);
    waiting.write(LAST_HEALTH);
    const computed = await server.next();
    const reading = await open(server);
    reading.write(LAST_HEALTH);
    (await server.next()).end(LARGE);
    expect((await text(reading)).length).toBeGreaterThan(LARGE.length);
    const stalled = await open(server);
    stalled.pause().write(HEALTH);
    const response = await server.next();
    response.end(LARGE);
    await new Promise((resolve) => response.once('close', resolve));
    computed.end('done');
    expect(await text(waiting)).toMatch(/done$/);
  });
});

describe('an idle connection', () => {
  it('an idle connection outlives the header timeout and answers the next request', async () => {
    const app = await startLimited({ headersTimeoutMs: 100, checkingMs: 20 });
    const idle = await open(app);
    idle.write(HEALTH);
    const [first] = await once(idle, 'data');
    expect(String(first)).toMatch(/Keep-Alive: timeout=75\r\n/);
    // The 408 of a request that began later proves that the header timeout has elapsed.
    const slow = await open(app);
    slow.write('GET /healthz HTTP/1.1\r\nHost: loc');
    expect(await text(slow)).toMatch(/^HTTP\/1\.1 408 /);
    idle.write(HEALTH);
    const [second] = await once(idle, 'data');
    expect(String(second)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('an idle connection is closed after KEEP_ALIVE_SECONDS, and immediately when the server stops', async () => {
    const app = await freshApp({ KEEP_ALIVE_SECONDS: '1' });
    const idle = await open(app);
    idle.write(HEALTH);
    const [first] = await once(idle, 'data');
    expect(String(first)).toMatch(/Keep-Alive: timeout=1\r\n/);
    await once(idle, 'close');
    const log = await openLog({ level: 'silent', pretty: false });
    const patient = await serve({ ...app.config, keepAliveMs: 3_600_000 }, log, app.domain);
    const kept = await open(patient);
    kept.write(HEALTH);
    await once(kept, 'data');
    kept.resume();
    const closed = once(kept, 'close');
    await patient.retire();
    await closed;
  });
});
