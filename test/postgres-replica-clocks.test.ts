import { expect, it } from 'vitest';
import { rowsOf } from './support/database.ts';
import { POSTGRES } from './support/database-location.ts';
import { atLoad } from './support/load.ts';
import {
  CLUSTER_COUNT,
  lastProbedBy,
  register,
  startFleet,
  untilCalm,
  untilEven,
  untilTakenOver,
} from './support/replicas.ts';

it.runIf(POSTGRES !== undefined)(
  "replicas whose clocks differ by a minute share the probing, because leases use the database's clock",
  { timeout: atLoad(300_000) },
  async () => {
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
  },
);
