import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Context } from '../src/graphql/context.ts';
import { readWhole } from '../src/rest/reads.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';
import { send } from './support/wire.ts';

/** One page is 250 clusters. */
const COUNT = 1_100;
const VISIBLE = '/api/v1/clusters';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
  await addClusters(COUNT, 'x');
  await makeDefault('c0');
}, atLoad(60_000));
afterAll(() => app.close());

async function addClusters(count: number, description: string): Promise<void> {
  expect((await app.rest('POST', CLUSTERS, { name: 'c0' })).status).toBe(201);
  const { prisma } = app.domain.database;
  const { id: _, ...first } = await prisma.cluster.findFirstOrThrow();
  const data = Array.from({ length: count - 1 }, (_, index) => ({
    ...{ ...first, uid: `uid-${index + 1}`, name: `c${index + 1}`, description },
  }));
  await prisma.cluster.createMany({ data });
}

const makeDefault = async (name: string) => {
  const { data } = await app.graphql(
    `mutation { updateCluster(input: { by: { name: "${name}" }, isDefault: true }) { __typename } }`,
  );
  expect(data.updateCluster.__typename).toBe('UpdateClusterSuccess');
};
const describeAll = (description: string) =>
  app.domain.database.write('registry', (tx) => tx.cluster.updateMany({ data: { description } }));
const list = (path = CLUSTERS, headers: Record<string, string> = {}) =>
  send(app, { path, headers: { Authorization: app.admin, ...headers } });

describe('a list of several pages', () => {
  it('a list contains every cluster once, by id or by name, and one default', async () => {
    const all = JSON.parse((await list()).text);
    expect(all.map(({ id }: { id: number }) => id)).toEqual(Array.from({ length: COUNT }, (_, index) => index + 1));
    expect(all.filter(({ isDefault }: { isDefault: boolean }) => isDefault)).toMatchObject([{ name: 'c0' }]);
    const visible = JSON.parse((await list(VISIBLE)).text).map(({ name }: { name: string }) => name);
    expect(visible).toEqual(all.map(({ name }: { name: string }) => name).sort());
  });

  it.each([CLUSTERS, VISIBLE])('a list is the same with and without its trailing slash: %s', async (path) => {
    const [{ headers, text: body }, other] = [
      await list(path.replace(/\/$/, '')),
      await list(`${path.replace(/\/$/, '')}/`),
    ];
    expect(JSON.parse(body)).toHaveLength(COUNT);
    expect([other.text, other.headers.etag]).toEqual([body, headers.etag]);
  });

  it('a list has an ETag, is 304 when unchanged, and has the same length by HEAD', async () => {
    const { headers, text: body } = await list();
    expect(headers['content-length']).toBe(String(Buffer.byteLength(body)));
    expect((await list(CLUSTERS, { 'If-None-Match': String(headers.etag) })).status).toBe(304);
    const head = await send(app, { method: 'HEAD', path: CLUSTERS, headers: { Authorization: app.admin } });
    expect([head.status, head.text, head.headers['content-length']]).toEqual([200, '', headers['content-length']]);
  });
});

/** Returns everything received before the server closes or resets the connection. */
async function partOf(socket: Socket): Promise<string> {
  const pieces: Buffer[] = [];
  socket.on('data', (piece) => pieces.push(piece));
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(pieces).toString();
}

describe('a list that is too large to cache', () => {
  // 1,100 × 10,000 characters of two bytes are 22 MB.
  beforeAll(() => describeAll('ü'.repeat(10_000)));
  afterAll(() => describeAll('x'));

  it('a list is streamed while it is read, as complete and valid JSON, also to several clients at once', async () => {
    const lists = await Promise.all([list(), list(), list('/api/v1/admin/clusters')]);
    for (const { status, headers, text: body } of lists) {
      expect([status, headers.etag, headers['transfer-encoding']]).toEqual([200, undefined, 'chunked']);
      const all = JSON.parse(body);
      expect(all.map(({ id }: { id: number }) => id)).toEqual(Array.from({ length: COUNT }, (_, index) => index + 1));
      expect(all.at(-1).description).toHaveLength(10_000);
    }
    const head = await send(app, { method: 'HEAD', path: CLUSTERS, headers: { Authorization: app.admin } });
    expect([head.status, head.text]).toEqual([200, '']);
  });

  it('a list waits for its client, and never shows two defaults when the default changes meanwhile', async () => {
    const { hostname, port } = new URL(app.url);
    const socket = connect({ host: hostname, port: Number(port) });
    onTestFinished(() => void socket.destroy());
    socket.write(
      `GET ${CLUSTERS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: ${app.admin}\r\n\r\n`,
    );
    await once(socket, 'readable');
    // The first pages show c0 as the default; the new default is on the last page.
    await makeDefault(`c${COUNT - 1}`);
    const answer = await text(socket);
    await makeDefault('c0');
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer.match(/"isDefault":true/g)).toHaveLength(1);
    expect(answer.trimEnd()).toMatch(/\]\r\n0$/);
  });

  it('a list ends early when its key is revoked meanwhile', async () => {
    const { body } = await app.rest('POST', '/api/v1/admin/apikeys/', { name: 'short-lived', roles: ['admin'] });
    const { hostname, port } = new URL(app.url);
    const socket = connect({ host: hostname, port: Number(port) });
    onTestFinished(() => void socket.destroy());
    socket.write(`GET ${CLUSTERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${body.apiKey.key}\r\n\r\n`);
    await once(socket, 'readable');
    await app.rest('DELETE', `/api/v1/admin/apikeys/${body.apiKey.id}`);
    const answer = await partOf(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 200 .*\{"id":1,/s);
    expect(answer).not.toMatch(/\]\r\n0\r\n\r\n$/);
  });

  it('a list that cannot be read to its end is cut off, and the log gives the reason', async () => {
    const { prisma } = app.domain.database;
    const rename = (from: string, to: string) => prisma.$executeRawUnsafe(`ALTER TABLE "${from}" RENAME TO "${to}"`);
    const { hostname, port } = new URL(app.url);
    const socket = connect({ host: hostname, port: Number(port) });
    onTestFinished(() => void socket.destroy());
    socket.write(`GET ${CLUSTERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${app.admin}\r\n\r\n`);
    await once(socket, 'readable');
    await rename('Cluster', 'Elsewhere');
    const answer = await partOf(socket).finally(() => rename('Elsewhere', 'Cluster'));
    expect(answer).toMatch(/^HTTP\/1\.1 200 .*\{"id":1,/s);
    expect(answer).not.toMatch(/\]\r\n0\r\n\r\n$/);
    const [, requestId] = /x-request-id: (\S+)/i.exec(answer) ?? [];
    expect(app.logged()).toMatch(new RegExp(`"level":50.*${requestId}.*"a(?: request failed|n answer was cut off)"`));
  });

  it('a client that disconnects early leaves no line in the log', async () => {
    const { hostname, port } = new URL(app.url);
    const socket = connect({ host: hostname, port: Number(port) });
    const before = app.logged().length;
    socket.write(`GET ${CLUSTERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${app.admin}\r\n\r\n`);
    await once(socket, 'readable');
    socket.destroy();
    await vi.waitFor(() => expect(app.logged().slice(before)).toContain('"aborted":true'));
    expect(app.logged().slice(before)).not.toMatch(/"level":[56]0/);
  });
});

describe('reading a list', () => {
  const page = (size: number) => Buffer.alloc(size, 'x');
  /** A registry that changes during each of the first reads. */
  function readings(changes: number) {
    const read = { times: 0, held: 0 };
    const context = {
      database: { counters: () => ({ registry: Math.min(read.times, changes) }) },
    } as unknown as Context;
    const pages = async function* () {
      read.times++;
      yield page(10);
      yield page(10);
    };
    const grow = (bytes: number) => {
      read.held += bytes;
      return read.held <= 100;
    };
    const shrink = (bytes: number) => {
      read.held -= bytes;
    };
    return { read, context, pages, memory: { grow, shrink } };
  }

  it.each([
    [0, 1],
    [1, 2],
    [100, 3],
  ])(
    'a read is repeated while the registry changes (%i times), at most three times in all: %i',
    async (changes, times) => {
      const { read, context, pages, memory } = readings(changes);
      const { pieces, rest } = await readWhole(context, pages, { maxBytes: 1_000, memory });
      expect([pieces.length, rest, read.held]).toEqual([2, undefined, 20]);
      expect(read.times).toBe(times);
    },
  );

  it('a read stops at the size limit, and when its caller may hold no more memory', async () => {
    const { context, pages, memory } = readings(0);
    const { pieces, rest } = await readWhole(context, pages, { maxBytes: 9, memory });
    expect(pieces).toHaveLength(1);
    expect((await rest?.next())?.value).toHaveLength(10);
    const full = { grow: () => false, shrink: () => {} };
    const refused = readWhole(context, pages, { maxBytes: 9, memory: full });
    await expect(refused).rejects.toMatchObject({ status: 429 });
  });
});

it("lists for many clients that do not read hold at most 64 MiB of their caller's memory", async () => {
  await describeAll('ü'.repeat(10_000));
  const { hostname, port } = new URL(app.url);
  const answers: string[] = [];
  for (let reader = 0; reader < 12; reader++) {
    const socket = connect({ host: hostname, port: Number(port) });
    onTestFinished(() => void socket.destroy());
    socket.once('data', (data) => {
      answers.push(String(data).slice(0, 200));
      socket.pause();
    });
    socket.write(`GET ${CLUSTERS}?${reader} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${app.admin}\r\n\r\n`);
  }
  await vi.waitFor(() => expect(answers).toHaveLength(12), { timeout: 20_000 });
  expect(answers.filter((answer) => answer.startsWith('HTTP/1.1 429 ')).length).toBeGreaterThan(0);
  expect(answers.filter((answer) => answer.startsWith('HTTP/1.1 200 ')).length).toBeLessThanOrEqual(64 / 16);
});
