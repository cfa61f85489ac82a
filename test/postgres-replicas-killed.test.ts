import { expect, it } from 'vitest';
import { POSTGRES } from './support/database-location.ts';
import { lengthOf } from './support/length.ts';
import { atLoad } from './support/load.ts';
import { CLUSTER_COUNT, longestGap, register, startFleet } from './support/replicas.ts';

/** A round is 30 s, plus a fifth at most. */
const ROUND_MS = 45_000;
/** How long replicas are started and killed: longer than a round, so that a delayed one is seen. */
const KILLING_MS = lengthOf({ short: 50_000, long: 300_000 });

it.runIf(POSTGRES !== undefined)(
  "a replica that is repeatedly killed right after its start does not delay the probes of other replicas' clusters",
  { timeout: atLoad(KILLING_MS + 210_000) },
  async () => {
    const { probes, server, first, start, key } = await startFleet();
    await register(first, key, server, CLUSTER_COUNT);
    const registered = Date.now();
    while (Date.now() < registered + KILLING_MS) {
      const doomed = await start();
      doomed.kill('SIGKILL');
      await doomed.ended;
    }
    expect(longestGap(probes, registered, Date.now())).toBeLessThan(atLoad(ROUND_MS));
    expect(first.output()).not.toMatch(/"level":[56]0/);
  },
);
