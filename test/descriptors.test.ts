import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { clusterErrorOf, ResourceError } from '../src/kubernetes/cluster-error.ts';
import { Connection } from '../src/kubernetes/transport/connection.ts';
import { readDescriptorLimit, shareDescriptors } from '../src/kubernetes/transport/descriptors.ts';
import { SocketBudget } from '../src/kubernetes/transport/socket-budget.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfigOfAll } from './support/live.ts';
import { atLoad } from './support/load.ts';
import { firstKey, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';
import { answerWith, kubernetes, type StandIn, standIn } from './support/stand-in.ts';

const policy = { allowLoopback: true };

function connect(server: StandIn, sockets: SocketBudget): Connection {
  const connection = new Connection({ target: server.target(), policy, sockets });
  onTestFinished(() => connection.close());
  return connection;
}

const ok = () => standIn((_request, response) => answerWith(response, 200, {}));

it.each([
  [256, 32, 96],
  [1_024, 192, 576],
  [4_096, 960, 2_880],
  [1_048_576, 4_096, 1_044_224],
])('of %i descriptors, callers may use %i and clusters %i', (limit, callers, clusters) => {
  expect(shareDescriptors(limit)).toEqual({ limit, callers, clusters });
});

it('an unknown or missing descriptor limit counts as unlimited', async () => {
  expect(readDescriptorLimit('/nonexistent')).toBe(Number.POSITIVE_INFINITY);
  const file = join(await temporaryDirectory(), 'limits');
  await writeFile(file, 'Max open files            unlimited            unlimited            files\n');
  expect(readDescriptorLimit(file)).toBe(Number.POSITIVE_INFINITY);
  await writeFile(file, 'Max open files            1024                 4096                 files\n');
  expect(readDescriptorLimit(file)).toBe(1_024);
  expect(shareDescriptors(Number.POSITIVE_INFINITY)).toMatchObject({ callers: 4_096, clusters: Infinity });
});

it.each(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'EADDRNOTAVAIL', 'EAI_MEMORY'])(
  '%s is an error on our side',
  (code) => {
    const error = Object.assign(new Error(code), { code, address: '10.0.0.1' });
    for (const thrown of [error, new AggregateError([new Error('other'), error])]) {
      const { message } = clusterErrorOf(thrown, { server: 'https://a' });
      expect(clusterErrorOf(thrown, { server: 'https://a' })).toBeInstanceOf(ResourceError);
      expect(message).toContain(code);
    }
  },
);

it('a name server that does not respond is an error of the cluster while descriptors are available', () => {
  const error = Object.assign(new Error('EAI_AGAIN'), { code: 'EAI_AGAIN' });
  expect(clusterErrorOf(error, { server: 'https://a' })).toMatchObject({ code: 'DNS' });
});

it('the longest idle connection gives its socket to another cluster', async () => {
  const sockets = new SocketBudget(2);
  const [first, second, third] = [await ok(), await ok(), await ok()];
  const [a, b, c] = [connect(first, sockets), connect(second, sockets), connect(third, sockets)];
  await a.call('/version');
  await b.call('/version');
  await a.call('/version');
  await c.call('/version');
  await vi.waitUntil(() => second.sockets.size === 0);
  expect([first.sockets.size, third.sockets.size]).toEqual([1, 1]);
  await vi.waitUntil(() => sockets.open === 2);
  await b.call('/version');
  expect([first, second, third].map((server) => server.accepted())).toEqual([1, 2, 1]);
});

it('a hundred clusters share five sockets', async () => {
  const sockets = new SocketBudget(5);
  const server = await ok();
  const all = Array.from({ length: 100 }, () => connect(server, sockets));
  let most = 0;
  for (const connection of all) {
    await connection.call('/version');
    most = Math.max(most, sockets.open);
  }
  expect(server.accepted()).toBe(100);
  // A socket may need one more turn of the event loop to close.
  expect(most).toBeLessThanOrEqual(7);
});

it('a call fails with OUT_OF_RESOURCES while all sockets are in use, and works afterwards', async () => {
  const sockets = new SocketBudget(1);
  const opened = Promise.withResolvers<void>();
  const busy = await standIn(async (_request, response) => {
    await opened.promise;
    answerWith(response, 200, {});
  });
  const [holder, other] = [connect(busy, sockets), connect(await ok(), sockets)];
  const running = holder.call('/version');
  await vi.waitUntil(() => busy.requests.length === 1);
  await expect(other.call('/version')).rejects.toMatchObject({ code: 'OUT_OF_RESOURCES' });
  opened.resolve();
  await running;
  expect((await other.call('/version')).status).toBe(200);
});

it('a failed dial releases its socket', async () => {
  const sockets = new SocketBudget(1);
  const server = await ok();
  await server.close();
  const connection = connect(server, sockets);
  for (let count = 0; count < 3; count++)
    await expect(connection.call('/version')).rejects.toMatchObject({ code: 'REFUSED' });
  expect(sockets.open).toBe(0);
});

it('with 256 descriptors, 200 clusters become READY and callers are served', {
  timeout: atLoad(30_000),
}, async () => {
  const servers = await Promise.all(Array.from({ length: 4 }, () => standIn(kubernetes(), { plain: true })));
  const targets = Array.from({ length: 200 }, (_, n) => [`c${n}`, servers[n % 4]?.target()] as const);
  const dataDir = await temporaryDirectory();
  const file = join(dataDir, 'kubeconfig');
  const targetsByName = Object.fromEntries(targets.flatMap(([name, target]) => (target ? [[name, target]] : [])));
  await writeFile(file, kubeconfigOfAll(targetsByName));
  const environment = { ALLOW_HTTP_TARGETS: 'true', IMPORT_KUBECONFIG: file };
  const { url, output } = await startProcess({ dataDir, environment, openFiles: 256 });
  const Authorization = await firstKey(dataDir);
  const counts = async () => {
    const body = JSON.stringify({ query: '{ clusters { stateCounts { state count } } }' });
    const headers = { Authorization, 'content-type': 'application/json' };
    const { data } = await (await fetch(`${url}/graphql`, { method: 'POST', headers, body })).json();
    const list = data.clusters.stateCounts as { state: string; count: number }[];
    return Object.fromEntries(list.filter(({ count }) => count > 0).map(({ state, count }) => [state, count]));
  };
  await vi.waitUntil(
    async () => {
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
      const found = await counts();
      expect(Object.keys(found).filter((state) => state !== 'PENDING' && state !== 'READY')).toEqual([]);
      return found.READY === 200;
    },
    { timeout: 20_000, interval: 100 },
  );
  await vi.waitUntil(() => servers.reduce((sum, { sockets }) => sum + sockets.size, 0) <= 96);
  expect(output().match(/limit of open files is too low/g)).toHaveLength(1);
  expect(output()).not.toContain('EMFILE');
});
