import { describe, expect, it } from 'vitest';
import { SLOTS } from '../src/domain/probing/probe-slots.ts';
import { CLUSTERS, startApp } from './support/app.ts';
import { POSTGRES } from './support/database-location.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { onTestFinished } from './support/running-test.ts';

describe.runIf(POSTGRES !== undefined)('fencing numbers of slots', () => {
  it('a replica stores no result under a fencing number that another replica has raised', async () => {
    const app = await startApp();
    onTestFinished(() => app.close());
    const { body } = await app.rest('POST', CLUSTERS, { name: 'fenced', config: kubeconfig() });
    const { uid, credentialsVersion } = await app.domain.database.prisma.cluster.findUniqueOrThrow({
      where: { id: body.id },
    });
    const slot = body.id % SLOTS;
    await app.domain.database.prisma.probeLease.update({ where: { slot }, data: { fence: 7 } });
    const found = { uid, credentialsVersion, state: 'READY', latencyMs: 1, observedAt: new Date() } as const;
    const stateAfter = async (fence: number) => {
      await app.domain.statuses.store([{ ...found, lease: { slot, fence } }]);
      return (await app.domain.database.prisma.cluster.findUniqueOrThrow({ where: { uid } })).state;
    };
    expect(await stateAfter(6)).toBe('PENDING');
    expect(await stateAfter(7)).toBe('READY');
  });

  it('a replica stores the results of one slot even if those of another slot are fenced off', async () => {
    const app = await startApp();
    onTestFinished(() => app.close());
    const { prisma } = app.domain.database;
    const rows = [];
    for (const name of ['old', 'new', 'older']) {
      const { body } = await app.rest('POST', CLUSTERS, { name, config: kubeconfig() });
      rows.push(await prisma.cluster.findUniqueOrThrow({ where: { id: body.id } }));
    }
    await prisma.probeLease.update({ where: { slot: 5 }, data: { fence: 7 } });
    const found = { state: 'READY', latencyMs: 1, observedAt: new Date() } as const;
    await app.domain.statuses.store(
      rows.map(({ uid, credentialsVersion }, index) => {
        return { uid, credentialsVersion, ...found, lease: { slot: 5, fence: [6, 7, 5][index] ?? 0 } };
      }),
    );
    const states = await prisma.cluster.findMany({ select: { state: true }, orderBy: { id: 'asc' } });
    expect(states.map(({ state }) => state)).toEqual(['PENDING', 'READY', 'PENDING']);
  });

  it('a take-over of a slot waits until the results in progress are stored', async () => {
    const app = await startApp();
    onTestFinished(() => app.close());
    const { database } = app.domain;
    const order: string[] = [];
    const taken = await database.write('status', async () => {
      const taking = database.leases?.take('another', [7]).then((fences) => {
        order.push('taken');
        return fences;
      });
      const waiting = async () => {
        const [row] = await database.prisma.$queryRaw<{ count: number }[]>`SELECT count(*)::int FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%"ProbeLease"%"fence" + 1%'`;
        return row?.count;
      };
      await expect.poll(waiting).toBe(1);
      order.push('stored');
      return { taking };
    });
    expect((await taken.taking)?.size).toBe(1);
    expect(order).toEqual(['stored', 'taken']);
  });
});
