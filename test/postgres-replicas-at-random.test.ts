import { expect, it } from 'vitest';
import { POSTGRES } from './support/database-location.ts';
import { type Asked, CLUSTERS_MADE, makeFleet, names, type Replica, register } from './support/replicas.ts';

/** How long the replicas are killed and started for; longer by this variable. */
const CHAOS_MS = Number(process.env.CHAOS_SECONDS ?? 90) * 1_000;
/** A round is 30 s, and a take-over 15: two of them may follow on each other. A run is longer by far. */
const GAP_MS = 60_000;
/** A round is 30 s, a fifth more at most. */
const ROUND_MS = 45_000;

it.runIf(POSTGRES !== undefined)(
  'replicas that are killed, stopped and started at random: no cluster is left out, none is asked by three',
  { timeout: CHAOS_MS + 210_000 },
  async () => {
    const { asked, server, first, start, key } = await makeFleet();
    await register(first, key, server, CLUSTERS_MADE);
    const registered = Date.now();
    const running = [first, await start(), await start()];
    const ends = Date.now() + CHAOS_MS;
    while (Date.now() < ends) {
      // As often as not the youngest, which others have just given something.
      const which = Math.random() < 0.5 ? running.length - 1 : Math.floor(Math.random() * running.length);
      const victim = running.splice(which, 1)[0] as Replica;
      if (Math.random() < 0.5) victim.kill('SIGKILL');
      else victim.kill('SIGTERM');
      await victim.ended;
      running.push(await start());
      // Also before what this one began is over: some seconds in all, at a cluster or two a second.
      const next = asked.length + 1 + Math.random() * 24;
      await expect.poll(() => asked.length, { timeout: 60_000 }).toBeGreaterThan(next);
    }
    expect(longestGap(asked, registered, Date.now())).toBeLessThan(GAP_MS);
    for (const name of names) {
      const asks = asked.filter(({ cluster }) => cluster === name);
      for (const { at } of asks) {
        const within = asks.filter((other) => other.at >= at && other.at < at + 10_000);
        expect(new Set(within.map(({ by }) => by)).size).toBeLessThanOrEqual(2);
      }
    }
    for (const replica of running) expect(replica.output()).not.toMatch(/"level":[56]0/);
  },
);

it.runIf(POSTGRES !== undefined)(
  'a replica that is killed as soon as it has started, again and again, keeps no cluster waiting that another probes',
  { timeout: 300_000 },
  async () => {
    const { asked, server, first, start, key } = await makeFleet();
    await register(first, key, server, CLUSTERS_MADE);
    const registered = Date.now();
    while (Date.now() < registered + 1.25 * GAP_MS) {
      const doomed = await start();
      doomed.kill('SIGKILL');
      await doomed.ended;
    }
    expect(longestGap(asked, registered, Date.now())).toBeLessThan(ROUND_MS);
    expect(first.output()).not.toMatch(/"level":[56]0/);
  },
);

/** The longest that any cluster was not asked for, in milliseconds. */
function longestGap(asked: readonly Asked[], from: number, until: number): number {
  const gaps = names.flatMap((name) => {
    // Who was registered early may have been asked before the last one was.
    const asks = asked.flatMap(({ cluster, at }) => (cluster === name ? Math.max(at, from) : []));
    return [...asks, until].map((at, index) => at - (asks[index - 1] ?? from));
  });
  return Math.max(...gaps);
}
