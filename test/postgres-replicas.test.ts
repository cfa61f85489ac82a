import type { RequestListener } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { SLOTS } from '../src/domain/clusters/probe-slots.ts';
import { CLUSTERS, startApp } from './support/app.ts';
import { rowsOf } from './support/database.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { kubeconfigOf } from './support/live.ts';
import { databaseOf, POSTGRES } from './support/place.ts';
import { firstKey, type Running, startProcess } from './support/process.ts';
import { kubernetes, type StandIn, standIn } from './support/stand-in.ts';

/** How long the replicas are killed and started for; longer by this variable. */
const CHAOS_MS = Number(process.env.CHAOS_SECONDS ?? 45) * 1_000;
const CLUSTERS_MADE = 36;

/** Who asked which cluster, and when. */
interface Asked {
  readonly cluster: string;
  readonly by: string;
  readonly at: number;
}

interface Replica extends Running {
  readonly name: string;
}

/**
 * Lets a process ask clusters from an address of its own, by which an API server tells the replicas apart; PostgreSQL is
 * not asked over TLS here.
 */
const fromAddress = (address: string) => `import net from 'node:net';
const { connect } = net.Socket.prototype;
net.Socket.prototype.connect = function (...given) {
  const options = Array.isArray(given[0]) ? given[0][0] : given[0];
  if (this.encrypted && options && typeof options === 'object') options.localAddress = '${address}';
  return connect.apply(this, given);
};`;

async function makeFleet() {
  const asked: Asked[] = [];
  const answer = kubernetes();
  // Each cluster is a path of one server.
  const handler: RequestListener = (request, response) => {
    const [, cluster = '', path = ''] = /^\/(c[0-9]+)(\/.*)$/.exec(request.url ?? '') ?? [];
    if (path.startsWith('/readyz')) asked.push({ cluster, by: request.socket.remoteAddress ?? '', at: Date.now() });
    request.url = path;
    answer(request, response);
  };
  const server = await standIn(handler);
  const dataDir = await temporaryDirectory();
  const environment = databaseOf(dataDir);
  let started = 0;
  const start = async (): Promise<Replica> => {
    const name = `127.0.0.${11 + started++}`;
    const own = started === 1 ? dataDir : await temporaryDirectory();
    return { ...(await startProcess({ dataDir: own, environment, before: fromAddress(name) })), name };
  };
  const first = await start();
  const key = await firstKey(dataDir);
  return { asked, server, dataDir, first, start, key };
}

async function register({ url }: Running, key: string, server: StandIn, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const config = kubeconfigOf(server.target({ server: `${server.server}/c${index}` }));
    const response = await fetch(`${url}${CLUSTERS}`, {
      ...{ method: 'POST', headers: { Authorization: key } },
      body: JSON.stringify({ name: `c${index}`, config }),
    });
    expect(response.status).toBe(201);
  }
}

/** What each replica that is there holds: slots, and what their last rounds took. */
async function sharesOf(dataDir: string): Promise<{ holder: string; slots: number; load: number }[]> {
  const rows = await rowsOf(
    dataDir,
    `SELECT "holder", count(*)::int AS "slots", sum("loadMs") AS "load" FROM "ProbeLease"
     WHERE "expiresAt" > (now() AT TIME ZONE 'UTC') AND "holder" IS NOT NULL GROUP BY "holder"`,
  );
  return rows as never;
}

const LEASES = 'SELECT "slot", "holder", "fence" FROM "ProbeLease" ORDER BY "slot"';

/** No slot has changed hands for a while. */
async function untilCalm(dataDir: string): Promise<void> {
  let [before, since] = ['', Date.now()];
  const isCalm = async () => {
    const now = JSON.stringify(await rowsOf(dataDir, LEASES));
    if (now !== before) [before, since] = [now, Date.now()];
    return Date.now() - since > 15_000;
  };
  await expect.poll(isCalm, { timeout: 90_000, interval: 500 }).toBe(true);
}

/** Every slot is held, by so many replicas, and none has much more to do than another. */
async function untilEven(dataDir: string, replicas: number): Promise<void> {
  await expect
    .poll(
      async () => {
        const shares = await sharesOf(dataDir);
        const loads = shares.map(({ load }) => load);
        const slots = shares.reduce((sum, share) => sum + share.slots, 0);
        return [shares.length, slots, Math.max(...loads) <= 1.5 * Math.min(...loads)];
      },
      { timeout: 60_000, interval: 250 },
    )
    .toEqual([replicas, SLOTS, true]);
}

const names = Array.from({ length: CLUSTERS_MADE }, (_, index) => `c${index}`);

/** The clusters that were asked by a replica last, before a moment. */
function askedLastBy(asked: readonly Asked[], by: string): string[] {
  return names.filter((name) => asked.findLast(({ cluster }) => cluster === name)?.by === by);
}

/** Waits until each of these clusters was asked by somebody else since. */
async function untilTakenOver(asked: readonly Asked[], clusters: readonly string[], from: string, within: number) {
  const since = Date.now();
  expect(clusters.length).toBeGreaterThan(0);
  const left = () =>
    clusters.filter((name) => !asked.some(({ cluster, by, at }) => cluster === name && by !== from && at >= since));
  // Twice the time that is promised.
  await expect.poll(left, { timeout: 2 * within, interval: 100 }).toEqual([]);
}

describe.runIf(POSTGRES !== undefined)('replicas that share the probing', { timeout: 300_000 }, () => {
  it('ask each cluster once a round between them; what one leaves, the others take over', async () => {
    const { asked, server, dataDir, first, start, key } = await makeFleet();
    const [second, third] = [await start(), await start()];
    await register(first, key, server, CLUSTERS_MADE);
    // Whoever took the change makes the first attempt.
    await expect.poll(() => new Set(asked.map(({ cluster }) => cluster)).size).toBe(CLUSTERS_MADE);
    const firstAsks = names.map((name) => asked.find(({ cluster }) => cluster === name)?.by);
    expect(new Set(firstAsks)).toEqual(new Set([first.name]));
    await untilEven(dataDir, 3);
    await untilCalm(dataDir);

    // A quiet round: each cluster is asked, by one.
    const since = Date.now();
    const askedSince = () => asked.filter(({ at }) => at >= since);
    await expect
      .poll(() => new Set(askedSince().map(({ cluster }) => cluster)).size, { timeout: 60_000 })
      .toBe(CLUSTERS_MADE);
    for (const name of names)
      expect(new Set(askedSince().flatMap(({ cluster, by }) => (cluster === name ? by : []))).size).toBe(1);
    expect(new Set(askedSince().map(({ by }) => by)).size).toBe(3);

    const ofThird = askedLastBy(asked, third.name);
    third.kill('SIGKILL');
    await third.ended;
    await untilTakenOver(asked, ofThird, third.name, 15_000);
    await untilEven(dataDir, 2);

    const ofSecond = askedLastBy(asked, second.name);
    const stopping = second.stop();
    await untilTakenOver(asked, ofSecond, second.name, 2_000);
    expect((await stopping).code).toBe(0);
    await untilEven(dataDir, 1);

    const fourth = await start();
    await untilEven(dataDir, 2);
    expect(fourth.output()).not.toMatch(/"level":[56]0/);
  });

  it('store nothing under a fencing number that another has raised since', async () => {
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

  it('one that stood still stores nothing of what others have taken, and asks nothing more of it', async () => {
    const { asked, server, dataDir, first, start, key } = await makeFleet();
    await register(first, key, server, 12);
    await untilEven(dataDir, 1);
    const [{ holder: holderOfFirst } = { holder: '' }] = await sharesOf(dataDir);
    const second = await start();
    await untilEven(dataDir, 2);
    const ofSecond = (await rowsOf(dataDir, LEASES)).filter(({ holder }) => holder !== holderOfFirst);
    expect(ofSecond.length).toBeGreaterThan(0);
    second.kill('SIGSTOP');
    onTestFinished(() => second.kill('SIGCONT'));
    await untilEven(dataDir, 1);
    const after = new Map((await rowsOf(dataDir, LEASES)).map(({ slot, fence }) => [slot, Number(fence)]));
    for (const { slot, fence } of ofSecond) expect(after.get(slot)).toBeGreaterThan(Number(fence));
    const woken = Date.now();
    second.kill('SIGCONT');
    await untilEven(dataDir, 2);
    // Nobody asks at once what the other has been asking.
    const soon = asked.filter(({ at }) => at >= woken && at < woken + 200);
    expect(soon.filter(({ by }) => by === second.name)).toEqual([]);
  });

  it('are killed, stopped and started at random: no cluster is left out, none is asked by three', async () => {
    const { asked, server, first, start, key } = await makeFleet();
    await register(first, key, server, CLUSTERS_MADE);
    const running = [first, await start(), await start()];
    const ends = Date.now() + CHAOS_MS;
    while (Date.now() < ends) {
      const before = asked.length;
      const victim = running.splice(Math.floor(Math.random() * running.length), 1)[0] as Replica;
      if (Math.random() < 0.5) victim.kill('SIGKILL');
      else victim.kill('SIGTERM');
      await victim.ended;
      running.push(await start());
      // What one take-over does is over before the next begins.
      const settled = Date.now() + 10_000;
      await expect
        .poll(() => asked.length > before + CLUSTERS_MADE / 2 && Date.now() > settled, { timeout: 60_000 })
        .toBe(true);
    }
    const over = Date.now();
    for (const name of names) {
      const asks = asked.filter(({ cluster }) => cluster === name);
      const times = [...asks.map(({ at }) => at), over];
      for (const [index, at] of times.entries()) expect(at - (times[index - 1] ?? at)).toBeLessThan(60_000);
      for (const { at } of asks) {
        const within = asks.filter((other) => other.at >= at && other.at < at + 10_000);
        expect(new Set(within.map(({ by }) => by)).size).toBeLessThanOrEqual(2);
      }
    }
    for (const replica of running) expect(replica.output()).not.toMatch(/"level":[56]0/);
  });
});
