import { describe, expect, it, onTestFinished } from 'vitest';
import { SLOTS } from '../src/domain/probing/probe-slots.ts';
import { CLUSTERS, startApp } from './support/app.ts';
import { rowsOf } from './support/database.ts';
import { POSTGRES } from './support/database-location.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import {
  CLUSTER_COUNT,
  LEASES,
  lastProbedBy,
  names,
  register,
  sharesOf,
  startFleet,
  untilCalm,
  untilEven,
  untilTakenOver,
} from './support/replicas.ts';

describe.runIf(POSTGRES !== undefined)('replicas that share the probing', { timeout: 300_000 }, () => {
  it('each cluster is probed once per round by one replica, and the others take over the slots of a stopped one', async () => {
    const { probes, server, dataDir, first, start, key } = await startFleet();
    const [second, third] = [await start(), await start()];
    await register(first, key, server, CLUSTER_COUNT);
    // The replica that handled the change makes the first attempt.
    await expect.poll(() => new Set(probes.map(({ cluster }) => cluster)).size).toBe(CLUSTER_COUNT);
    const firstAsks = names.map((name) => probes.find(({ cluster }) => cluster === name)?.by);
    expect(new Set(firstAsks)).toEqual(new Set([first.name]));
    await untilEven(dataDir, 3);
    await untilCalm(dataDir);

    // A quiet round: one replica probes each cluster, unless its slot changes hands.
    const before = await rowsOf(dataDir, LEASES);
    const since = Date.now();
    const probesSince = () => probes.filter(({ at }) => at >= since);
    await expect
      .poll(() => new Set(probesSince().map(({ cluster }) => cluster)).size, { timeout: 60_000 })
      .toBe(CLUSTER_COUNT);
    const asks = probesSince();
    const after = await rowsOf(dataDir, LEASES);
    const stayed = names.filter((_name, index) => before[index + 1]?.fence === after[index + 1]?.fence);
    expect(stayed.length).toBeGreaterThan(CLUSTER_COUNT / 2);
    for (const name of stayed)
      expect(new Set(asks.flatMap(({ cluster, by }) => (cluster === name ? by : []))).size).toBe(1);
    expect(new Set(probesSince().map(({ by }) => by)).size).toBe(3);

    const ofThird = lastProbedBy(probes, third.name);
    third.kill('SIGKILL');
    await third.ended;
    await untilTakenOver(probes, ofThird, third.name, 15_000);
    await untilEven(dataDir, 2);

    // Slots that have just changed hands would be in their cool-down at first.
    await untilCalm(dataDir);
    const ofSecond = lastProbedBy(probes, second.name);
    const stopping = second.stop();
    await untilTakenOver(probes, ofSecond, second.name, 2_000);
    expect((await stopping).code).toBe(0);
    await untilEven(dataDir, 1);

    const fourth = await start();
    await untilEven(dataDir, 2);
    expect(fourth.output()).not.toMatch(/"level":[56]0/);
  });

  it("replicas whose clocks differ by a minute share the probing, because leases use the database's clock", async () => {
    const { probes, server, dataDir, first, start, key } = await startFleet();
    const behind = await start({}, -60_000);
    const ahead = await start({}, 60_000);
    await register(first, key, server, CLUSTER_COUNT);
    await untilEven(dataDir, 3);
    // No replica takes a slot that another holds.
    await untilCalm(dataDir);
    const ofBehind = lastProbedBy(probes, behind.name);
    behind.kill('SIGKILL');
    await behind.ended;
    await untilTakenOver(probes, ofBehind, behind.name, 15_000);
    await untilEven(dataDir, 2);
    const states = await rowsOf(dataDir, `SELECT count(*)::int AS "count", "state" FROM "Cluster" GROUP BY "state"`);
    expect(states).toEqual([{ count: CLUSTER_COUNT, state: 'READY' }]);
    expect(ahead.output()).not.toMatch(/"level":[56]0/);
  });

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

  it('a replica that stood still has lost its slots and does not probe them when it resumes', async () => {
    const { probes, server, dataDir, first, start, key } = await startFleet();
    await register(first, key, server, 12);
    await untilEven(dataDir, 1);
    const [{ holder: holderOfFirst } = { holder: '' }] = await sharesOf(dataDir);
    const second = await start();
    await untilEven(dataDir, 2);
    const heldBySecond = async () => (await rowsOf(dataDir, LEASES)).filter(({ holder }) => holder !== holderOfFirst);
    // None of its attempts is in progress: a connection that was begun before would continue when it resumes.
    const unprobed = async () => {
      const slots = new Set((await heldBySecond()).map(({ slot }) => slot));
      const tried = lastProbedBy(probes, second.name);
      return names.slice(0, 12).filter((name, index) => slots.has(index + 1) && !tried.includes(name));
    };
    await expect.poll(unprobed, { timeout: 30_000 }).toEqual([]);
    const ofSecond = await heldBySecond();
    expect(ofSecond.length).toBeGreaterThan(0);
    second.kill('SIGSTOP');
    onTestFinished(() => second.kill('SIGCONT'));
    await untilEven(dataDir, 1);
    const after = new Map((await rowsOf(dataDir, LEASES)).map(({ slot, fence }) => [slot, Number(fence)]));
    for (const { slot, fence } of ofSecond) expect(after.get(slot)).toBeGreaterThan(Number(fence));
    const woken = Date.now();
    second.kill('SIGCONT');
    await untilEven(dataDir, 2);
    // The new holder does not probe immediately after the old one.
    const soon = probes.filter(({ at }) => at >= woken && at < woken + 200);
    expect(soon.filter(({ by }) => by === second.name)).toEqual([]);
  });
});
