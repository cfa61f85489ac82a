import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Observation } from '../src/domain/probing/statuses.ts';
import { CLUSTERS, startApp } from './support/app.ts';
import { POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { gate, kubeconfigOf, listed, probingApp, register, statusOf, untilState } from './support/live.ts';
import { kubernetes, refusingPort, standIn } from './support/stand-in.ts';
import { freshApp } from './support/wire.ts';

/** Twice the time of docs/architecture.md. */
const SOON_MS = 2 * 1_000;

/** The same for a change that needs no call to a cluster: other replicas wait for the first 5 s. */
const FIRST_MS = POSTGRES ? 2 * 6_000 : SOON_MS;

it.each([
  ['an update', () => ({ config: NOWHERE })],
  ['a disable', () => ({ enabled: false })],
])('the result of a probe that ends after %s is discarded', async (_what, change) => {
  const app = await probingApp();
  const { handler, open } = gate(kubernetes());
  const server = await standIn(handler);
  const id = await register(app, 'a', kubeconfigOf(server.target()));
  await expect.poll(() => server.requests.length).toBeGreaterThan(0);
  await app.rest('PUT', `${CLUSTERS}${id}`, change());
  open();
  // Long enough for a result to be stored, if it were not discarded.
  const other = await register(app, 'b', kubeconfigOf((await standIn(kubernetes())).target()));
  await untilState(app, other, 'READY');
  const row = await app.domain.database.prisma.cluster.findUniqueOrThrow({ where: { id } });
  expect(row).toMatchObject({ version: null, identity: null });
  expect(row.state).not.toBe('READY');
});

it('a result of a deleted cluster is dropped, and the results stored with it count', async () => {
  const app = await freshApp();
  const { prisma } = app.domain.database;
  const observed: Observation[] = [];
  for (const name of ['gone', 'stands']) {
    const id = await register(app, name, NOWHERE);
    const { uid, credentialsVersion } = await prisma.cluster.findUniqueOrThrow({ where: { id } });
    observed.push({ uid, credentialsVersion, state: 'READY', version: 'v1', latencyMs: 1, observedAt: new Date() });
  }
  const [gone] = await prisma.cluster.findMany({ where: { name: 'gone' } });
  await app.rest('DELETE', `${CLUSTERS}${gone?.id}`);
  const before = await app.domain.database.counters();
  await app.domain.statuses.store(observed.slice(0, 1));
  expect(await app.domain.database.counters()).toEqual(before);
  await app.domain.statuses.store(observed);
  expect(await prisma.cluster.findMany({ select: { name: true, state: true } })).toEqual([
    { name: 'stands', state: 'READY' },
  ]);
});

/** A kubeconfig that points to a port without a server. */
const NOWHERE = kubeconfigOf({
  server: `https://127.0.0.1:${await refusingPort()}`,
  insecureSkipTlsVerify: false,
  token: 't',
});

it('an observation counts only for the credential and the enabled flag that it was made with', async () => {
  const app = await probingApp();
  const server = await standIn(kubernetes());
  const id = await register(app, 'a', kubeconfigOf(server.target()));
  await untilState(app, id, 'READY');
  const { prisma } = app.domain.database;
  const row = await prisma.cluster.findUniqueOrThrow({ where: { id } });
  const observation = { uid: row.uid, state: 'DEGRADED', latencyMs: 1, observedAt: new Date(), version: 'v0' } as const;
  const store = (credentialsVersion: number) => app.domain.statuses.store([{ ...observation, credentialsVersion }]);
  const before = await app.domain.database.counters();
  await store(row.credentialsVersion - 1);
  await store(row.credentialsVersion + 1);
  expect((await app.domain.database.counters()).status).toBe(before.status);
  expect(await statusOf(app, id)).toMatchObject({ state: 'READY', version: 'v1.31.0' });
  await store(row.credentialsVersion);
  expect(await statusOf(app, id)).toMatchObject({ state: 'DEGRADED', version: 'v0' });
});

it('a cluster that stays READY is probed repeatedly, and nothing is written', async () => {
  const app = await probingApp();
  const server = await standIn(kubernetes());
  const id = await register(app, 'a', kubeconfigOf(server.target()));
  const first = await untilState(app, id, 'READY');
  // Prometheus discovery runs once after the first contact.
  await expect.poll(() => server.requests.filter((line) => line.includes('/services')).length).toBeGreaterThan(0);
  const before = await app.domain.database.counters();
  for (let round = 0; round < 5; round++)
    await app.graphql('mutation { probeCluster(input: { by: { name: "a" } }) { __typename } }');
  await setImmediate();
  expect(await app.domain.database.counters()).toEqual(before);
  const now = await statusOf(app, id);
  expect(now).toMatchObject({ state: 'READY', since: first.since });
  expect(Date.parse(now.observedAt ?? '')).toBeGreaterThan(Date.parse(first.observedAt ?? ''));
});

it('after a restart the last state and its age are shown before any cluster is probed', async () => {
  const DATA_DIR = await temporaryDirectory();
  const app = await startApp({ DATA_DIR }, { probing: true });
  const server = await standIn(kubernetes());
  const up = await register(app, 'up', kubeconfigOf(server.target()));
  const down = await register(app, 'down', NOWHERE);
  const [ready, dead] = [await untilState(app, up, 'READY'), await untilState(app, down, 'UNREACHABLE')];
  await app.close();
  const again = await startApp({ DATA_DIR });
  try {
    for (const [id, was] of [
      [up, ready],
      [down, dead],
    ] as const) {
      const { observedAt, ...status } = await statusOf(again, id);
      const { observedAt: wasObservedAt, latencyMs, ...rest } = was;
      expect(status).toMatchObject(rest);
      expect(Date.parse(observedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(wasObservedAt ?? ''));
      expect(Date.parse(observedAt ?? '')).toBeLessThan(Date.now());
      expect(latencyMs).toBeGreaterThan(0);
    }
    expect(await listed(again, up)).toMatchObject({ version: 'v1.31.0' });
  } finally {
    await again.close();
  }
});

it('the end of a round gives the age of a state, also on other servers and after its own server has stopped', async () => {
  const DATA_DIR = await temporaryDirectory();
  const app = await startApp({ DATA_DIR }, { probing: true });
  const other = await startApp({ DATA_DIR });
  try {
    const server = await standIn(kubernetes());
    const id = await register(app, 'a', kubeconfigOf(server.target()));
    const { observedAt } = await untilState(app, id, 'READY');
    await app.graphql('mutation { probeCluster(input: { by: { name: "a" } }) { __typename } }');
    const { observedAt: later } = await statusOf(app, id);
    expect(Date.parse(later ?? '')).toBeGreaterThan(Date.parse(observedAt ?? ''));
    await app.close();
    await expect.poll(async () => (await statusOf(other, id)).observedAt, { timeout: SOON_MS }).toBe(later);
  } finally {
    await other.close();
  }
});

it('each of two servers over one file sees the states and changes of the other', async () => {
  const DATA_DIR = await temporaryDirectory();
  const prober = await startApp({ DATA_DIR }, { probing: true });
  const reader = await startApp({ DATA_DIR });
  try {
    const server = await standIn(kubernetes());
    const id = await register(reader, 'a', kubeconfigOf(server.target()));
    await untilState(reader, id, 'READY', FIRST_MS);
    expect(await listed(reader, id)).toMatchObject({ version: 'v1.31.0' });
    await reader.rest('PUT', `${CLUSTERS}${id}`, { config: NOWHERE });
    await untilState(prober, id, 'UNREACHABLE', FIRST_MS);
    expect(await listed(reader, id)).toHaveProperty('error');
    await reader.rest('DELETE', `${CLUSTERS}${id}`);
    await expect.poll(() => server.sockets.size, { timeout: SOON_MS }).toBe(0);
  } finally {
    await prober.close();
    await reader.close();
  }
});
