import { expect, it } from 'vitest';
import { POSTGRES } from './support/database-location.ts';
import { lengthOf } from './support/length.ts';
import { atLoad } from './support/load.ts';
import { CLUSTER_COUNT, longestGap, names, type Replica, register, startFleet } from './support/replicas.ts';

/** How long replicas are killed and started. */
const CHAOS_MS = lengthOf({ short: 30_000, long: 600_000 });
/** A round is 30 s and a take-over 15 s: two of them may follow each other. A run is much longer. */
const GAP_MS = 60_000;

it.runIf(POSTGRES !== undefined)(
  'with replicas killed, stopped and started at random, every cluster is probed, and no three replicas probe one',
  { timeout: atLoad(CHAOS_MS + 210_000) },
  async () => {
    const { probes, server, first, start, key } = await startFleet();
    await register(first, key, server, CLUSTER_COUNT);
    const registered = Date.now();
    const running = [first, await start(), await start()];
    const ends = Date.now() + CHAOS_MS;
    while (Date.now() < ends) {
      // Half of the time the youngest replica, to which others have just handed over slots.
      const which = Math.random() < 0.5 ? running.length - 1 : Math.floor(Math.random() * running.length);
      const victim = running.splice(which, 1)[0] as Replica;
      if (Math.random() < 0.5) victim.kill('SIGKILL');
      else victim.kill('SIGTERM');
      await victim.ended;
      running.push(await start());
      // Sometimes before the replica's first probes are over: a few seconds in all, at one or two clusters per second.
      const next = probes.length + 1 + Math.random() * 24;
      await expect.poll(() => probes.length, { timeout: 60_000 }).toBeGreaterThan(next);
    }
    expect(longestGap(probes, registered, Date.now())).toBeLessThan(atLoad(GAP_MS));
    for (const name of names) {
      const asks = probes.filter(({ cluster }) => cluster === name);
      for (const { at } of asks) {
        const within = asks.filter((other) => other.at >= at && other.at < at + 10_000);
        expect(new Set(within.map(({ by }) => by)).size).toBeLessThanOrEqual(2);
      }
    }
    for (const replica of running) expect(replica.output()).not.toMatch(/"level":[56]0/);
  },
);
