import { expect, it } from 'vitest';
import { rowsOf } from './support/database.ts';
import { POSTGRES } from './support/database-location.ts';
import { atLoad } from './support/load.ts';
import {
  CLUSTER_COUNT,
  LEASES,
  lastProbedBy,
  names,
  register,
  startFleet,
  untilCalm,
  untilEven,
  untilTakenOver,
} from './support/replicas.ts';

it.runIf(POSTGRES !== undefined)(
  'each cluster is probed once per round by one replica, and the others take over the slots of a stopped one',
  { timeout: atLoad(300_000) },
  async () => {
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
  },
);
