import { once } from 'node:events';
import { IncomingMessage } from 'node:http';
import { connect, Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HttpError } from '../src/http-error.ts';
import { createBody } from '../src/rest/body.ts';
import { parseFields } from '../src/rest/parse-body.ts';
import { receiveBody } from '../src/server/request-body.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { freshApp, send } from './support/wire.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const keys = (count: number) => Array.from({ length: count }, (_, index) => `"k${index}":1`).join();

describe('JSON that would build too many values', () => {
  const graphql = (variables: string) => `{"query":"{ viewer { name } }","variables":${variables}}`;

  it.each([
    ['REST', CLUSTERS, `{"name":"x","y":${nested(100)}}`, 'deeper than 64 levels'],
    ['REST', CLUSTERS, `{"name":"x",${keys(20_000)}}`, 'more than 20000 keys and list items'],
    ['REST', CLUSTERS, nested(2_000_000), 'deeper than 64 levels'],
    ['REST', `${CLUSTERS}import`, `[${'1,'.repeat(2_000_000)}1]`, 'more than 20000 keys and list items'],
    ['GraphQL', '/graphql', graphql(nested(100)), 'deeper than 64 levels'],
    ['GraphQL', '/graphql', graphql(`{${keys(20_000)}}`), 'more than 20000 keys and list items'],
    ['GraphQL', '/graphql', nested(2_000_000), 'deeper than 64 levels'],
  ])('oversized JSON is refused by %s at %s before it is parsed', async (_surface, path, body, sentence) => {
    const { status, text } = await app.rest('POST', path, body);
    expect(status).toBe(400);
    expect(text).toContain(`the body`);
    expect(text).toContain(sentence);
    expect(text.length).toBeLessThan(300);
  });

  it('REST refuses oversized JSON in a compressed body', async () => {
    const headers = { Authorization: app.admin, 'Content-Encoding': 'gzip' };
    const body = gzipSync(nested(2_000_000));
    const { status, text } = await send(app, { method: 'POST', path: CLUSTERS, headers, body });
    expect([status, JSON.parse(text)]).toEqual([
      400,
      { error: 'the body nests arrays and objects deeper than 64 levels' },
    ]);
  });

  it.each(['variables', 'extensions'])('oversized JSON is refused in the URL parameter `%s`', async (name) => {
    const query = new URLSearchParams({ query: '{ viewer { name } }', [name]: nested(100) });
    const { status, text } = await send(app, { path: `/graphql?${query}`, headers: { Authorization: app.admin } });
    expect([status, JSON.parse(text).errors[0].message]).toEqual([
      400,
      `\`${name}\` nests arrays and objects deeper than 64 levels`,
    ]);
  });

  it.each(['application/x-www-form-urlencoded;charset=utf-8', 'application/x-www-form-urlencoded, x'])(
    'no form encoding reaches GraphQL: with a key, a body of type %s is parsed as JSON',
    async (type) => {
      const form = new URLSearchParams({ query: '{ viewer { name } }', variables: nested(100) });
      const headers = { Authorization: app.admin, 'Content-Type': type };
      const { status } = await app.rest('POST', '/graphql', form.toString(), headers);
      expect(status).toBe(400);
    },
  );
});

it('a body within the limits may name 5,000 contexts', async () => {
  const contexts = Array.from({ length: 5_000 }, (_, index) => `context-${index}`);
  const { data, errors } = await app.graphql(
    'mutation ($i: ImportClustersInput!) { importClusters(input: $i) { __typename } }',
    { i: { kubeconfig: 'x', contexts } },
  );
  expect([data?.importClusters?.__typename, errors]).toEqual(['InvalidInputError', undefined]);
});

it('REST reads each key of a body once', () => {
  let reads = 0;
  const body = new Proxy(Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`NAME${index}`, 1])), {
    get: (target, key, receiver) => {
      reads++;
      return Reflect.get(target, key, receiver);
    },
  });
  parseFields(createBody, body);
  expect(reads).toBe(1_000);
});

describe('the bytes of a body', () => {
  const budgets = { GRAPHQL_COST_PER_MINUTE: '100' };
  const body = (filling: number) => `{"name":"x${'x'.repeat(300)}","y":"${'y'.repeat(filling)}"}`;

  it.each([
    ['POST', CLUSTERS, 400],
    ['POST', '/graphql', 400],
  ])('body bytes are charged to the caller by %s %s, whatever the response', async (method, path, status) => {
    const thrifty = await freshApp(budgets);
    // 11 KiB cost more than the 100 of a minute; 4 KiB cost 40.
    expect((await thrifty.rest(method, path, body(4_096))).status).toBe(status);
    const refused = await thrifty.rest(method, path, body(11 * 1_024));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.text).toContain('send smaller bodies');
    // Another caller has a budget of their own.
    const headers = { Authorization: thrifty.keyWithoutRole };
    expect((await thrifty.rest(method, path, body(4_096), headers)).status).not.toBe(429);
  });

  it('compressed body bytes are charged by their uncompressed size', async () => {
    const thrifty = await freshApp(budgets);
    const headers = { Authorization: thrifty.admin, 'Content-Encoding': 'gzip' };
    const packed = gzipSync(body(20 * 1_024));
    expect((await send(thrifty, { method: 'POST', path: CLUSTERS, headers, body: packed })).status).toBe(429);
  });
});

describe('receiving a body', () => {
  /** A request with a body that arrives in the chunks pushed by the test. */
  const received = (headers: Record<string, string>) => Object.assign(new IncomingMessage(new Socket()), { headers });
  const account = (most = Number.POSITIVE_INFINITY) => {
    const held = { now: 0, most: 0, charged: 0 };
    return {
      held,
      grow: (bytes: number) => {
        if (held.now + bytes > most) return false;
        held.now += bytes;
        held.most = Math.max(held.most, held.now);
        return true;
      },
      shrink: (bytes: number) => {
        held.now -= bytes;
      },
      charge: (cost: number) => {
        held.charged += cost;
        return undefined;
      },
    };
  };
  const limits = { maxBytes: 1024 * 1024, decode: true };

  it('a body in small chunks occupies at most twice its size', async () => {
    const { held, ...options } = account();
    const request = received({ 'transfer-encoding': 'chunked' });
    const reading = receiveBody(request, { ...limits, ...options });
    const chunk = 'x'.repeat(100);
    for (let pushed = 0; pushed < 4_000; pushed++) request.push(chunk);
    request.push(null);
    expect((await reading).toString()).toBe(chunk.repeat(4_000));
    expect(held.most).toBeLessThanOrEqual(800_000);
    expect(held.charged).toBe(Math.floor(400_000 / 1024) * 10);
  });

  it('a body in thousands of one-byte chunks is refused, and the rest of it is not received', async () => {
    const { held, ...options } = account();
    const request = received({ 'transfer-encoding': 'chunked' });
    const reading = receiveBody(request, { ...limits, ...options });
    for (let pushed = 0; pushed < 5_000; pushed++) request.push('x');
    await expect(reading).rejects.toMatchObject({ status: 400, close: true });
    expect(held.charged).toBe(40);
  });

  it.each([CLUSTERS, '/graphql'])('a body in one-byte chunks is not received to its end at %s', async (path) => {
    const { hostname, port } = new URL(app.url);
    const socket = connect({ host: hostname, port: Number(port) });
    socket.on('error', () => {});
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${app.admin}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    const [answer] = await Promise.all([
      once(socket, 'data'),
      (async () => {
        for (let sent = 0; sent < 10; sent++) socket.write('1\r\n \r\n'.repeat(1_000));
      })(),
    ]);
    expect(String(answer)).toMatch(/^HTTP\/1\.1 400 /);
    expect(String(answer)).toMatch(/Connection: close/i);
    expect(String(answer)).toContain('chunks of less than 256 bytes');
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
  });

  it('memory for a body is not allocated before its bytes arrive', async () => {
    const { held, ...options } = account();
    const request = received({ 'content-length': String(1024 * 1024) });
    const reading = receiveBody(request, { ...limits, ...options });
    request.push('{');
    await once(request, 'data');
    expect(held.now).toBe(64 * 1024);
    request.destroy(new Error('aborted'));
    await expect(reading).rejects.toThrow(HttpError);
  });

  it('a body is refused when its client has disconnected before it is read', async () => {
    const { held, ...options } = account();
    const request = received({ 'content-length': '100' });
    request.destroy();
    await once(request, 'close');
    await expect(receiveBody(request, { ...limits, ...options })).rejects.toMatchObject({ status: 400 });
    expect(held).toEqual({ now: 0, most: 0, charged: 0 });
  });

  it('a body is refused with 429 as soon as its caller may hold no more memory', async () => {
    const { held, ...options } = account(100_000);
    const request = received({ 'transfer-encoding': 'chunked' });
    const reading = receiveBody(request, { ...limits, ...options });
    request.push(Buffer.alloc(60_000));
    request.push(Buffer.alloc(60_000));
    await expect(reading).rejects.toMatchObject({ status: 429, retryAfter: 1 });
    expect(held.charged).toBe(Math.floor(60_000 / 1024) * 10);
  });

  it('a body is decompressed to at most the maximum body size, and its memory is released', async () => {
    const { held, ...options } = account();
    const pack = (bytes: number) => {
      const packed = gzipSync(Buffer.alloc(bytes));
      const request = received({ 'content-length': String(packed.length), 'content-encoding': 'gzip' });
      request.push(packed);
      request.push(null);
      return request;
    };
    expect((await receiveBody(pack(500_000), { ...limits, ...options })).length).toBe(500_000);
    expect(held.now).toBe(500_000);
    await expect(receiveBody(pack(64 * 1024 * 1024), { ...limits, ...options })).rejects.toMatchObject({ status: 413 });
  });
});
