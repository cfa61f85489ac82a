import type { RequestListener } from 'node:http';
import { expect } from 'vitest';
import { SLOTS } from '../../src/domain/probing/probe-slots.ts';
import { CLUSTERS } from './app.ts';
import { rowsOf } from './database.ts';
import { databaseOf } from './database-location.ts';
import { temporaryDirectory } from './directory.ts';
import { kubeconfigOf } from './live.ts';
import { firstKey, type Running, startProcess } from './process.ts';
import { kubernetes, type StandIn, standIn } from './stand-in.ts';

export const CLUSTER_COUNT = 36;

/** A request to a cluster: the replica that sent it, and the time. */
export interface ClusterRequest {
  readonly cluster: string;
  readonly by: string;
  readonly at: number;
}

export interface Replica extends Running {
  readonly name: string;
}

/**
 * Makes a process call clusters from its own source address, by which an API server tells the replicas apart.
 * PostgreSQL connections are unaffected, since they do not use TLS here.
 */
const fromAddress = (address: string) => `import net from 'node:net';
const { connect } = net.Socket.prototype;
net.Socket.prototype.connect = function (...given) {
  const options = Array.isArray(given[0]) ? given[0][0] : given[0];
  if (this.encrypted && options && typeof options === 'object') options.localAddress = '${address}';
  return connect.apply(this, given);
};`;

/** Shifts a process's clock for all of its code. */
const clockOff = (ms: number) => `const { now } = Date;
globalThis.Date = class extends Date {
  constructor(...given) { super(...(given.length === 0 ? [now() + ${ms}] : given)); }
  static now() { return now() + ${ms}; }
};`;

export async function startFleet() {
  const probes: ClusterRequest[] = [];
  const handleApi = kubernetes();
  // Each cluster is a path of one server.
  const handler: RequestListener = (request, response) => {
    const [, cluster = '', path = ''] = /^\/(c[0-9]+)(\/.*)$/.exec(request.url ?? '') ?? [];
    if (path.startsWith('/readyz')) probes.push({ cluster, by: request.socket.remoteAddress ?? '', at: Date.now() });
    request.url = path;
    handleApi(request, response);
  };
  const server = await standIn(handler);
  const dataDir = await temporaryDirectory();
  const environment = databaseOf(dataDir);
  let started = 0;
  const start = async (differing: Record<string, string> = {}, clockOffMs = 0): Promise<Replica> => {
    const name = `127.0.0.${11 + started++}`;
    const ownDataDir = started === 1 ? dataDir : await temporaryDirectory();
    return {
      ...(await startProcess({
        dataDir: ownDataDir,
        environment: { ...environment, ...differing },
        before: fromAddress(name) + clockOff(clockOffMs),
      })),
      name,
    };
  };
  const first = await start();
  const key = await firstKey(dataDir);
  return { probes, server, dataDir, first, start, key };
}

export async function register({ url }: Running, key: string, server: StandIn, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const config = kubeconfigOf(server.target({ server: `${server.server}/c${index}` }));
    const response = await fetch(`${url}${CLUSTERS}`, {
      ...{ method: 'POST', headers: { Authorization: key } },
      body: JSON.stringify({ name: `c${index}`, config }),
    });
    expect(response.status).toBe(201);
  }
}

/** Returns the slots that each live replica holds, and the time that their last rounds took. */
export async function sharesOf(dataDir: string): Promise<{ holder: string; slots: number; load: number }[]> {
  const rows = await rowsOf(
    dataDir,
    `SELECT "holder", count(*)::int AS "slots", sum("loadMs") AS "load" FROM "ProbeLease"
     WHERE "expiresAt" > (now() AT TIME ZONE 'UTC') AND "holder" IS NOT NULL GROUP BY "holder"`,
  );
  return rows as never;
}

export const LEASES = 'SELECT "slot", "holder", "fence" FROM "ProbeLease" ORDER BY "slot"';

/** Waits until no slot has changed hands for a while. */
export async function untilCalm(dataDir: string): Promise<void> {
  let [before, since] = ['', Date.now()];
  const isCalm = async () => {
    const now = JSON.stringify(await rowsOf(dataDir, LEASES));
    if (now !== before) [before, since] = [now, Date.now()];
    return Date.now() - since > 15_000;
  };
  await expect.poll(isCalm, { timeout: 90_000, interval: 500 }).toBe(true);
}

/** Waits until every slot is held by this many replicas, and none has much more load than another. */
export async function untilEven(dataDir: string, replicas: number): Promise<void> {
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

export const names = Array.from({ length: CLUSTER_COUNT }, (_, index) => `c${index}`);

/** Returns the clusters that received their last request before a given time from this replica. */
export function lastProbedBy(probes: readonly ClusterRequest[], by: string): string[] {
  return names.filter((name) => probes.findLast(({ cluster }) => cluster === name)?.by === by);
}

/** Waits until another replica has probed each of these clusters since. */
export async function untilTakenOver(
  probes: readonly ClusterRequest[],
  clusters: readonly string[],
  from: string,
  within: number,
) {
  const since = Date.now();
  expect(clusters.length).toBeGreaterThan(0);
  const left = () =>
    clusters.filter((name) => !probes.some(({ cluster, by, at }) => cluster === name && by !== from && at >= since));
  // Twice the promised time.
  await expect.poll(left, { timeout: 2 * within, interval: 100 }).toEqual([]);
}

/** The longest time that any cluster was not probed, in milliseconds. */
export function longestGap(probes: readonly ClusterRequest[], from: number, until: number): number {
  const gaps = names.flatMap((name) => {
    // A cluster that was registered early may have been probed before the last one was registered.
    const asks = probes.flatMap(({ cluster, at }) => (cluster === name ? Math.max(at, from) : []));
    return [...asks, until].map((at, index) => at - (asks[index - 1] ?? from));
  });
  return Math.max(...gaps);
}
