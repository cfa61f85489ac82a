import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiServers, startApiServers } from './support/api-servers.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { createAuthority } from './support/certificates.ts';
import { binaryFor, kubeconfigOf, probingApp, register, type Status, statusOf, untilState } from './support/live.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';
import {
  answerWith,
  kubernetes,
  rawStandIn,
  type StandIn,
  type StandInResponses,
  standIn,
} from './support/stand-in.ts';

const binary = await binaryFor('test/live-failures.test.ts, real API servers that are broken and mended');

/** The time of a requested test by docs/architecture.md: its five seconds, one more second, and the second attempt. */
const ATTEMPT_MS = 5_500 + 1_000 + 5_500;
/** One second plus one attempt: the time to probe a cluster after a change. */
const CHANGE_MS = 1_000 + 5_500;

/** Open connections of this process to a local port. Linux only, as are the API servers. */
function connectionsTo(port: number): number {
  const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const own = new Set(readdirSync('/proc/self/fd').map(socketOf));
  const rows = readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  return rows.filter((row) => row[2]?.endsWith(remote) && row[3] === '01' && own.has(row[9])).length;
}

function socketOf(descriptor: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[1];
  } catch {
    // The socket was closed since the directory was read.
    return undefined;
  }
}

/**
 * An unhandled rejection ends the product's process. Vitest would fail the whole run; here only the test that caused it
 * fails.
 */
function collectRejections(): unknown[] {
  const rejected: unknown[] = [];
  const record = (error: unknown) => rejected.push(error);
  process.on('unhandledRejection', record);
  onTestFinished(() => void process.off('unhandledRejection', record));
  return rejected;
}

const probe = async (app: TestApp, databaseId: number): Promise<Status> => {
  const { data } = await app.graphql(
    `mutation ($by: ClusterBy!) { probeCluster(input: { by: $by }) { ... on ProbeClusterSuccess { cluster {
      status { state since observedAt version latencyMs error { code message } } } } } }`,
    { by: { databaseId } },
  );
  return data.probeCluster.cluster.status;
};

describe.skipIf(!binary)('real clusters', () => {
  const [KILLED, PAUSED, SLOW, REVOKED, KEYED, EXPIRED, HEALTHY] = [1, 2, 3, 4, 5, 6, 7] as const;
  const ids: Record<number, number> = {};
  let servers: ApiServers;
  let app: TestApp;
  const idOf = (cluster: number) => ids[cluster] ?? 0;

  beforeAll(async () => {
    if (!binary) return;
    servers = await startApiServers(binary, 7);
    app = await startApp({}, { probing: true });
    for (const cluster of [KILLED, PAUSED, SLOW, REVOKED, KEYED, EXPIRED, HEALTHY])
      ids[cluster] = await register(
        app,
        `c${cluster}`,
        kubeconfigOf(await servers.target(cluster, `admin-${cluster}`)),
      );
    for (const id of Object.values(ids)) await untilState(app, id, 'READY');
  });
  afterAll(async () => {
    await app?.close();
    await servers?.close();
  });

  /**
   * Breaks a cluster, checks its status, repairs it and waits until it is READY, each within twice the time of
   * docs/architecture.md.
   */
  async function breakAndRepair(
    cluster: number,
    {
      fault,
      mend,
      state,
      code,
    }: { fault: () => Promise<unknown>; mend: () => Promise<unknown>; state: string; code: string },
  ) {
    const id = idOf(cluster);
    await fault();
    let began = performance.now();
    expect(await probe(app, id)).toMatchObject({ state, error: { code }, version: expect.stringMatching(/^v1/) });
    expect(performance.now() - began).toBeLessThan(atLoad(2 * ATTEMPT_MS));
    await mend();
    began = performance.now();
    await untilState(app, id, 'READY', 2 * (60_000 + 5_500));
    expect(await statusOf(app, id)).toMatchObject({ error: null, version: expect.stringMatching(/^v1/) });
    return performance.now() - began;
  }

  it('clusters that are killed, paused, slowed, revoked or given new keys report it and recover, while reads of the healthy cluster continue', {
    timeout: atLoad(150_000),
  }, async () => {
    const rejections = collectRejections();
    const command =
      (cluster: number, fault: string, parameters: Record<string, string> = {}) =>
      () =>
        servers.fault(cluster, fault, parameters);
    const give = (cluster: number) => async () =>
      app.rest('PUT', `${CLUSTERS}${idOf(cluster)}`, {
        config: kubeconfigOf(await servers.target(cluster, `admin-${cluster}`)),
      });
    const breaking = Promise.all([
      breakAndRepair(KILLED, {
        fault: command(KILLED, 'stop'),
        mend: command(KILLED, 'start'),
        state: 'UNREACHABLE',
        code: 'REFUSED',
      }),
      breakAndRepair(PAUSED, {
        fault: command(PAUSED, 'pause'),
        mend: command(PAUSED, 'resume'),
        state: 'UNREACHABLE',
        code: 'TIMED_OUT',
      }),
      breakAndRepair(SLOW, {
        fault: command(SLOW, 'slow', { ms: '6000' }),
        mend: command(SLOW, 'heal'),
        ...{ state: 'UNREACHABLE', code: 'TIMED_OUT' },
      }),
      breakAndRepair(REVOKED, {
        fault: command(REVOKED, 'revoke-token', { user: `admin-${REVOKED}` }),
        mend: async () => {
          await servers.fault(REVOKED, 'issue-token', { user: `admin-${REVOKED}` });
          await give(REVOKED)();
        },
        ...{ state: 'UNAUTHORIZED', code: 'UNAUTHORIZED' },
      }),
      breakAndRepair(KEYED, {
        fault: command(KEYED, 'rotate-ca'),
        mend: give(KEYED),
        state: 'UNREACHABLE',
        code: 'WRONG_CA',
      }),
      breakAndRepair(EXPIRED, {
        fault: command(EXPIRED, 'expire-certificate'),
        mend: command(EXPIRED, 'renew-certificate'),
        ...{ state: 'UNREACHABLE', code: 'CERTIFICATE_EXPIRED' },
      }),
    ]);
    let isBreaking = true;
    const stop = () => {
      isBreaking = false;
    };
    breaking.then(stop, stop);
    const slowest = { reads: 0, ms: 0 };
    while (isBreaking) {
      const began = performance.now();
      const { data, errors } = await app.graphql(`{ clusters { nodes { name status { state } } }
        cluster(by: { name: "c${HEALTHY}" }) { status { state } live { version nodes { name } faults { code } } } }`);
      expect(errors).toBeUndefined();
      expect(data.clusters.nodes).toHaveLength(7);
      expect(data.cluster).toMatchObject({ status: { state: 'READY' }, live: { nodes: { length: 3 }, faults: [] } });
      slowest.reads++;
      slowest.ms = Math.max(slowest.ms, performance.now() - began);
    }
    const recovered = await breaking;
    // A cluster with a new credential is probed immediately.
    for (const cluster of [3, 4]) expect(recovered[cluster]).toBeLessThan(atLoad(2 * CHANGE_MS));
    expect(slowest.reads).toBeGreaterThan(10);
    expect(slowest.ms).toBeLessThan(atLoad(2_000));
    expect(rejections).toEqual([]);
    expect(app.logged()).not.toMatch(/"level":[56]0/);
  });

  it('disabled and deleted clusters leave no socket open', async () => {
    const ports = (await servers.clusters()).map(({ server }) => Number(new URL(server).port));
    const sockets = () => ports.map(connectionsTo).reduce((sum, count) => sum + count, 0);
    expect(sockets()).toBeGreaterThanOrEqual(ports.length);
    for (const [index, id] of Object.values(ids).entries()) {
      if (index % 2) await app.rest('DELETE', `${CLUSTERS}${id}`);
      else await app.rest('PUT', `${CLUSTERS}${id}`, { enabled: false });
    }
    await expect.poll(sockets).toBe(0);
  });
});

/** Hostile stand-ins: each does something different with a connection, without waiting for a request. */
const hostile: Record<string, () => Promise<StandIn>> = {
  'hangs up in the handshake': () => rawStandIn((socket) => socket.once('data', () => socket.destroy())),
  'hangs up at once': () => rawStandIn((socket) => socket.destroy()),
  'never speaks': () => rawStandIn(() => {}),
  'speaks nonsense': () => rawStandIn((socket) => socket.write(Buffer.alloc(64, 0xff))),
  'hangs up in the middle of an answer': () =>
    standIn((_request, response) => {
      response.writeHead(200, { 'content-length': 1_000 });
      response.write('x', () => response.destroy());
    }),
  'never ends its answer': () =>
    standIn((_request, response) => {
      response.writeHead(200);
      const more = () => {
        if (!response.destroyed && response.write(Buffer.alloc(64 * 1024, 0x20))) setImmediate(more);
        else response.once('drain', more);
      };
      more();
    }),
  'answers with garbage': () => standIn((_request, response) => answerWith(response, 200, '\u0000{[}')),
};

it('a registry of hostile clusters delays no healthy cluster, crashes no process and leaks nothing', {
  timeout: atLoad(60_000),
}, async () => {
  const rejections = collectRejections();
  const app = await probingApp();
  const bad = await Promise.all(
    Object.entries(hostile).flatMap(([what, open]) =>
      [1, 2, 3].map(async (count) => {
        const server = await open();
        return { server, id: await register(app, `${what} ${count}`, kubeconfigOf(server.target())) };
      }),
    ),
  );
  const began = performance.now();
  const good = await register(app, 'good', kubeconfigOf((await standIn(kubernetes())).target()));
  await untilState(app, good, 'READY', 2_000);
  expect(performance.now() - began).toBeLessThan(atLoad(2_000));
  for (const { id } of bad) {
    const { error } = await untilState(app, id, 'UNREACHABLE', 2 * ATTEMPT_MS);
    expect(error?.message).toMatch(/\S \S/);
  }
  const { data, errors } = await app.graphql(
    '{ clusters { nodes { live { version nodes { name } faults { code } } } } }',
  );
  expect(errors).toBeUndefined();
  expect(data.clusters.nodes).toHaveLength(bad.length + 1);
  for (const { id } of bad) await app.rest('DELETE', `${CLUSTERS}${id}`);
  for (const { server } of bad) await expect.poll(() => server.sockets.size).toBe(0);
  expect(await statusOf(app, good)).toMatchObject({ state: 'READY' });
  expect(rejections).toEqual([]);
  expect(app.logged()).not.toMatch(/"level":[56]0/);
});

it('switching a cluster to a new CA and token and back opens one connection each time', async () => {
  const app = await probingApp();
  const servers = await Promise.all([1, 2, 3].map(() => standIn(kubernetes())));
  const id = await register(app, 'a', kubeconfigOf(servers[0]?.target() ?? never()));
  for (const [round, server] of [...servers, ...servers].entries()) {
    const config = kubeconfigOf(server.target({ token: `token-${round}` }));
    expect((await app.rest('PUT', `${CLUSTERS}${id}`, { config })).status).toBe(200);
    await untilState(app, id, 'READY', 2 * CHANGE_MS);
    for (const other of servers) if (other !== server) await expect.poll(() => other.sockets.size).toBe(0);
    expect(server.sockets.size).toBeLessThanOrEqual(2);
  }
  const lost = createAuthority().certificate;
  await app.rest('PUT', `${CLUSTERS}${id}`, { config: kubeconfigOf(servers[0]?.target({ caData: lost }) ?? never()) });
  await untilState(app, id, 'UNREACHABLE', 2 * CHANGE_MS);
  for (const server of servers) await expect.poll(() => server.sockets.size).toBe(0);
});

it('one failure of a READY cluster that a second attempt does not confirm is ignored', async () => {
  const app = await probingApp();
  const responses: StandInResponses = {};
  let failures = 0;
  const answer = kubernetes(responses);
  const server = await standIn((request, response) => {
    if (failures-- > 0) request.socket.destroy();
    else answer(request, response);
  });
  const id = await register(app, 'a', kubeconfigOf(server.target()));
  const { since } = await untilState(app, id, 'READY');
  const before = (await app.domain.database.counters()).status;
  failures = 1;
  expect(await probe(app, id)).toMatchObject({ state: 'READY', since, error: null });
  expect((await app.domain.database.counters()).status).toBe(before);
});

function never(): never {
  throw new Error('there is one');
}
