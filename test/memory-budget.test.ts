import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { MemoryBudget, type MemoryHolding } from '../src/server/memory-budget.ts';
import { CLUSTERS, type TestApp } from './support/app.ts';
import { onTestFinished } from './support/running-test.ts';
import { freshApp } from './support/wire.ts';

const MiB = 1024 * 1024;
const key = (id: string, userId?: number) => ({
  viewer: { kind: 'API_KEY' as const, id, name: id, roles: [], grants: [], userId },
});

it('a caller never holds more than the limit, and nothing once every request is over, in any order', () => {
  const buffers = [10, 40, 70].map((size) => Buffer.alloc(size));
  const step = fc.record({
    request: fc.nat(5),
    action: fc.constantFrom('grow', 'shrink', 'answer', 'release'),
    size: fc.nat(60),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const budget = new MemoryBudget({ perCaller: 100 });
      const holdings: MemoryHolding[] = Array.from({ length: 6 }, () => budget.open(key('api-key:1')));
      for (const { request, action, size } of steps) {
        const holding = holdings[request] as MemoryHolding;
        if (action === 'grow') holding.grow(size);
        else if (action === 'shrink') holding.shrink(size);
        else if (action === 'answer') holding.holdResponse(buffers[size % 3] as Buffer);
        else holding.release();
        expect(budget.held).toBeGreaterThanOrEqual(0);
        expect(budget.held).toBeLessThanOrEqual(100);
      }
      for (const holding of holdings) holding.release();
      expect(budget.held).toBe(0);
    }),
  );
});

it('a user holds memory together with all of their keys, and requests that send one buffer hold it once', () => {
  const budget = new MemoryBudget({ perCaller: 100 });
  const [first, second, third] = [key('api-key:1', 7), key('api-key:2', 7), key('api-key:3', 8)].map((caller) =>
    budget.open(caller),
  );
  const answer = Buffer.alloc(60);
  expect([first?.holdResponse(answer), second?.holdResponse(answer), second?.grow(40)]).toEqual([true, true, true]);
  expect([first?.grow(1), third?.grow(100)]).toEqual([false, true]);
  expect(budget.held).toBe(200);
});

/** Sends the head of a request and part of its body, and leaves the connection open. */
async function sendPart(app: TestApp, { length, part }: { length: number; part: Buffer }): Promise<Socket> {
  const { hostname, port } = new URL(app.url);
  const socket = connect({ host: hostname, port: Number(port) });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  socket.on('error', () => {});
  socket.write(
    `POST ${CLUSTERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${app.admin}\r\nContent-Length: ${length}\r\n\r\n`,
  );
  socket.write(part);
  return socket;
}

it('unfinished bodies of one caller hold at most 64 MiB; others are served, and a closed connection releases its part', async () => {
  const app = await freshApp({ GRAPHQL_COST_PER_MINUTE: '0' });
  const part = Buffer.alloc(4 * MiB - 2, ' ');
  const sockets: Socket[] = [];
  const answers: string[] = [];
  for (let sent = 0; sent < 20; sent++) {
    const socket = await sendPart(app, { length: part.length + 1, part });
    socket.on('data', (data) => answers.push(data.toString()));
    sockets.push(socket);
  }
  await vi.waitFor(() => expect(answers.filter((answer) => answer.startsWith('HTTP/1.1 429 '))).toHaveLength(4), {
    timeout: 15_000,
  });
  expect(answers[0]).toContain('64 MiB');
  expect(answers[0]).toMatch(/retry-after: 1\r\n/i);
  const body = { name: 'large', description: 'x', unknown: 'x'.repeat(1 * MiB) };
  expect((await app.rest('POST', CLUSTERS, body)).status).toBe(429);
  // Small requests succeed, and so do requests of another caller.
  expect((await app.rest('GET', CLUSTERS)).status).toBe(200);
  const another = { Authorization: app.keyWithoutRole };
  expect((await app.rest('POST', '/graphql', { query: `# ${'x'.repeat(MiB)}` }, another)).status).not.toBe(429);
  for (const socket of sockets) socket.destroy();
  const accepted = async () => expect((await app.rest('POST', CLUSTERS, body)).status).toBe(201);
  await vi.waitFor(accepted, { timeout: 15_000, interval: 200 });
});
