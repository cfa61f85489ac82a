import type { RequestListener } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { rowsOf } from './support/database.ts';
import { databaseOf, POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfigOf, probingApp, register, untilState } from './support/live.ts';
import { atLoad } from './support/load.ts';
import {
  LEASES,
  lastProbedBy,
  register as registerAll,
  startFleet,
  untilEven,
  untilTakenOver,
} from './support/replicas.ts';
import { onTestFinished } from './support/running-test.ts';
import { answerWith, kubernetes, standIn } from './support/stand-in.ts';
import { replicaOf } from './support/wire.ts';

/** A replica's connection to PostgreSQL that a test can cut: data sent from then on is neither refused nor answered. */
async function openCuttableProxy(dataDir: string) {
  const { DATABASE_URL = '' } = databaseOf(dataDir);
  const url = new URL(DATABASE_URL);
  const to = { host: url.hostname, port: Number(url.port || 5_432) };
  const sockets = new Set<Socket>();
  let isCut = false;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
  };
  const server = createServer((near) => {
    keep(near);
    if (isCut) return;
    const far = connect(to);
    keep(far);
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.unpipe().pause();
  };
  const mend = () => {
    isCut = false;
    for (const socket of sockets) socket.destroy();
  };
  return { url: url.href, cut, mend };
}

describe.runIf(POSTGRES !== undefined)('a replica that is cut off', { timeout: atLoad(180_000) }, () => {
  it('a replica that cannot renew its leases stops probing, and shares the probing again when it can', async () => {
    const { probes, server, dataDir, first, start, key } = await startFleet();
    const proxy = await openCuttableProxy(dataDir);
    await registerAll(first, key, server, 12);
    const second = await start({ DATABASE_URL: proxy.url });
    await untilEven(dataDir, 2);
    await expect.poll(() => lastProbedBy(probes, second.name).length, { timeout: 30_000 }).toBeGreaterThan(0);
    const ofSecond = lastProbedBy(probes, second.name);
    proxy.cut();
    const since = Date.now();
    await untilTakenOver(probes, ofSecond, second.name, 15_000);
    // Counts probes by the other replicas: a whole round in which each cluster was due here too.
    const probesSince = (name: string) =>
      probes.filter(({ cluster, by, at }) => cluster === name && by !== second.name && at >= since);
    await expect.poll(() => ofSecond.every((name) => probesSince(name).length > 1), { timeout: 60_000 }).toBe(true);
    expect(probes.filter(({ by, at }) => by === second.name && at - since > 10_500)).toEqual([]);
    proxy.mend();
    const mended = Date.now();
    await untilEven(dataDir, 2);
    await expect.poll(() => probes.some(({ by, at }) => by === second.name && at >= mended)).toBe(true);
    const holders = new Set((await rowsOf(dataDir, LEASES)).map(({ holder }) => holder));
    expect(holders.size).toBe(2);
  });

  it('a replica reads live from clusters that another replica probes, whatever changes meanwhile', async () => {
    const DATA_DIR = await temporaryDirectory();
    const holder = await probingApp({ DATA_DIR });
    const answer = kubernetes();
    const opened = Promise.withResolvers<void>();
    let held = 0;
    const handler: RequestListener = async (request, response) => {
      if (!request.url?.startsWith('/api/v1/namespaces?')) return answer(request, response);
      held++;
      await opened.promise;
      answerWith(response, 200, { kind: 'PartialObjectMetadataList', metadata: {}, items: [] });
    };
    const server = await standIn(handler);
    await register(holder, 'a', kubeconfigOf(server.target()));
    await untilEven(DATA_DIR, 1);
    const other = await replicaOf(holder, { probing: true });
    const reading = other.graphql('{ cluster(by: { name: "a" }) { live { namespaces { name } faults { code } } } }');
    await expect.poll(() => held).toBe(1);
    const id = await register(other, 'b', kubeconfigOf(server.target()));
    await untilState(other, id, 'READY');
    opened.resolve();
    const { data, errors } = await reading;
    expect(errors).toBeUndefined();
    expect(data.cluster.live.faults).toEqual([]);
  });
});
