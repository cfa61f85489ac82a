import { describe, expect, it } from 'vitest';
import { SLOTS } from '../src/domain/probing/probe-slots.ts';
import { CLUSTERS, type TestApp } from './support/app.ts';
import { POSTGRES } from './support/database-location.ts';
import { kubeconfigOf, probingApp, register, untilState } from './support/live.ts';
import { kubernetes, standIn } from './support/stand-in.ts';
import { replicaOf } from './support/wire.ts';

const HOUR_MS = 3_600_000;

/** Two replicas: the first holds every slot; the second has started too late to hold any, and knows every cluster. */
async function replicas(): Promise<[TestApp, TestApp]> {
  const first = await probingApp();
  const { probeLease } = first.domain.database.prisma;
  await expect.poll(() => probeLease.count({ where: { holder: { not: null } } })).toBe(SLOTS);
  return [first, await replicaOf(first, { probing: true })];
}

describe.runIf(POSTGRES !== undefined)('a cluster that is taken over', () => {
  it('a cluster that two other replicas have just probed is not probed, except on request', async () => {
    const [first, second] = await replicas();
    const { prisma } = second.domain.database;
    const stood = async (name: string) => {
      const server = await standIn(kubernetes());
      const id = await register(first, name, kubeconfigOf(server.target()));
      await untilState(second, id, 'READY');
      const asks = () => server.requests.filter((line) => line.includes('/readyz')).length;
      return { id, slot: id % SLOTS, server, asks };
    };
    const [resting, changed, other] = [await stood('resting'), await stood('changed'), await stood('other')];
    // Simulates a third replica that probed until now and stopped much later.
    await prisma.probeLease.updateMany({
      where: { slot: { in: [resting.slot, changed.slot] } },
      data: { askedUntil: new Date(Date.now() + HOUR_MS) },
    });
    await first.domain.fleet.retire();
    await expect.poll(other.asks, { timeout: 5_000 }).toBe(2);

    const { data } = await second.graphql(
      'mutation { probeCluster(input: { by: { name: "resting" } }) { __typename } }',
    );
    expect(data.probeCluster).toEqual({ __typename: 'ProbeClusterSuccess' });
    expect(resting.asks()).toBe(2);

    const config = kubeconfigOf(changed.server.target(), 'another');
    expect((await second.rest('PUT', `${CLUSTERS}${changed.id}`, { config })).status).toBe(200);
    await expect.poll(changed.asks, { timeout: 5_000 }).toBe(2);
  });

  it('a cluster that is taken over keeps its previous load estimate until its load here is known', async () => {
    const app = await probingApp();
    const { probeLease } = app.domain.database.prisma;
    await expect.poll(() => probeLease.count({ where: { holder: { not: null } } })).toBe(SLOTS);
    const server = await standIn(kubernetes());
    const id = await register(app, 'a', kubeconfigOf(server.target()));
    await untilState(app, id, 'READY');
    const slot = id % SLOTS;
    const lease = () => probeLease.findUniqueOrThrow({ where: { slot } });
    const { holder, fence } = await lease();
    // Simulates another holder for a while, and a third one before it.
    const now = Date.now();
    await probeLease.update({
      where: { slot },
      data: {
        ...{ holder: 'another', fence: fence + 1, loadMs: 700 },
        ...{ askFrom: new Date(now - 1), expiresAt: new Date(now + 5_000), askedUntil: new Date(now + HOUR_MS) },
      },
    });
    const renewals = new Set<number>();
    const renewed = async () => {
      const { expiresAt, ...now } = await lease();
      if (now.holder === holder) renewals.add(expiresAt?.getTime() ?? 0);
      return renewals.size;
    };
    await expect.poll(renewed, { timeout: 20_000 }).toBe(3);
    expect(await lease()).toMatchObject({ fence: fence + 2, loadMs: 700 });
    await app.graphql('mutation { probeCluster(input: { by: { name: "a" } }) { __typename } }');
    await expect.poll(async () => (await lease()).loadMs, { timeout: 10_000 }).toBeLessThan(700);
  });

  it('a cluster that is taken over gets a second attempt before its failure counts, like one that was READY here', async () => {
    const [first, second] = await replicas();
    const answer = kubernetes();
    let failures = 0;
    const server = await standIn((request, response) => {
      if (request.url?.startsWith('/readyz') && failures > 0) {
        failures--;
        response.writeHead(500).end();
      } else answer(request, response);
    });
    const id = await register(first, 'a', kubeconfigOf(server.target()));
    await untilState(second, id, 'READY');
    const { prisma } = second.domain.database;
    const { state, stateSince, statusChange } = await prisma.cluster.findUniqueOrThrow({ where: { id } });
    await first.domain.fleet.retire();
    failures = 1;
    const asked = () => server.requests.filter((line) => line.includes('/readyz')).length;
    const before = asked();
    await expect.poll(asked, { timeout: 5_000 }).toBe(before + 2);
    expect(await prisma.cluster.findUniqueOrThrow({ where: { id } })).toMatchObject({
      state,
      stateSince,
      statusChange,
    });
  });
});
