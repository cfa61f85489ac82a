import { expect, it } from 'vitest';
import { POSTGRES } from './support/database-location.ts';
import { CLUSTER_COUNT, type ClusterRequest, names, type Replica, register, startFleet } from './support/replicas.ts';

/** How long replicas are killed and started; CHAOS_SECONDS makes it longer. */
const CHAOS_MS = Number(process.env.CHAOS_SECONDS ?? 90) * 1_000;
/** A round is 30 s and a take-over 15 s: two of them may follow each other. A run is much longer. */
const GAP_MS = 60_000;
/** A round is 30 s, plus a fifth at most. */
const ROUND_MS = 45_000;

it.runIf(POSTGRES !== undefined)(
  'with replicas killed, stopped and started at random, every cluster is probed, and no three replicas probe one',
  { timeout: CHAOS_MS + 210_000 },
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
    expect(longestGap(probes, registered, Date.now())).toBeLessThan(GAP_MS);
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

it.runIf(POSTGRES !== undefined)(
  "a replica that is repeatedly killed right after its start does not delay the probes of other replicas' clusters",
  { timeout: 300_000 },
  async () => {
    const { probes, server, first, start, key } = await startFleet();
    await register(first, key, server, CLUSTER_COUNT);
    const registered = Date.now();
    while (Date.now() < registered + 1.25 * GAP_MS) {
      const doomed = await start();
      doomed.kill('SIGKILL');
      await doomed.ended;
    }
    expect(longestGap(probes, registered, Date.now())).toBeLessThan(ROUND_MS);
    expect(first.output()).not.toMatch(/"level":[56]0/);
  },
);

/** The longest time that any cluster was not probed, in milliseconds. */
function longestGap(probes: readonly ClusterRequest[], from: number, until: number): number {
  const gaps = names.flatMap((name) => {
    // A cluster that was registered early may have been probed before the last one was registered.
    const asks = probes.flatMap(({ cluster, at }) => (cluster === name ? Math.max(at, from) : []));
    return [...asks, until].map((at, index) => at - (asks[index - 1] ?? from));
  });
  return Math.max(...gaps);
}
