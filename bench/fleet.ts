import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askWell } from './client.ts';
import { load, wrkVersion } from './load.ts';
import { describeMachine } from './machine.ts';
import { cpuOf, residentOf } from './process.ts';
import { API_KEY, type Product, startProduct } from './product.ts';
import { median } from './rounds.ts';
import { startStandIns } from './stand-in-process.ts';

interface Figure {
  readonly clusters: number;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** At most this, or with `atLeast` at least. */
  readonly target?: number;
  readonly atLeast?: boolean;
}

const CLUSTERS = '/api/v1/admin/clusters/';
const HEADERS = { Authorization: API_KEY, 'Content-Type': 'application/json' };
const SILENT_SHARE = 0.05;
const POLL_MS = 20;
const PATIENCE_MS = 60_000;

/** Measures fleets of stand-ins, 5 % of which accept and never answer: first contact, new clusters, steady probing. */
export async function benchFleet({ quick }: { quick: boolean }): Promise<void> {
  const about = describeMachine({ wrk: wrkVersion() });
  const figures: Figure[] = [];
  for (const clusters of quick ? [10, 100] : [10, 100, 1_000])
    figures.push(...(await benchSize(clusters, quick ? 10_000 : 60_000)));
  console.log(JSON.stringify(about, null, 2));
  for (const { clusters, what, value, unit, target, atLeast } of figures) {
    const isReached = target === undefined ? '' : (atLeast ? value >= target : value <= target) ? ': yes' : ': NO';
    const aim = target === undefined ? '' : `  ${atLeast ? '≥' : '≤'} ${target}${isReached}`;
    console.log(`${String(clusters).padStart(8)}  ${what.padEnd(54)}${value.toFixed(1).padStart(10)} ${unit}${aim}`);
  }
}

async function benchSize(clusters: number, steadyMs: number): Promise<Figure[]> {
  const progress = (what: string) => console.error(`${clusters} clusters: ${what}`);
  const silent = Math.floor(clusters * SILENT_SHARE);
  const spare = 40;
  const { standIns, stop } = await startStandIns(clusters - silent + spare, silent);
  const dataDir = mkdtempSync(join(tmpdir(), 'kitestring-bench-'));
  const figures: Figure[] = [];
  const add = (what: string, value: number, unit: string, target?: { most?: number; least?: number }) => {
    const most = target?.most ?? target?.least;
    figures.push({
      ...{ clusters, what, value, unit },
      ...(most === undefined ? {} : { target: most, atLeast: target?.least !== undefined }),
    });
  };
  const isLarge = clusters >= 1_000;
  try {
    progress('import');
    let product = await startProduct(dataDir);
    const living = standIns.answering.slice(0, clusters - silent);
    const config = kubeconfigOf([...living, ...standIns.silent], standIns.ca);
    const began = performance.now();
    await importAll(product, config);
    add('import answered', performance.now() - began, 'ms', isLarge ? { most: 2_000 } : {});
    await until(product, 'READY', clusters - silent);
    const ready = performance.now() - began;
    add('all that answer READY after the import', ready, 'ms', isLarge ? { most: 8_000 } : {});
    await until(product, 'UNREACHABLE', silent);
    add('the silent ones named', performance.now() - began, 'ms', isLarge && silent > 0 ? { most: 10_000 } : {});

    progress('create');
    const times = await timeVersions(product, standIns.answering.slice(clusters - silent), standIns.ca);
    add('create to version visible, p50', median(times), 'ms', { most: 150 });
    add('create to version visible, the slowest of 40', Math.max(...times), 'ms', { most: 400 });

    progress(`steady probing for ${steadyMs / 1_000} s`);
    const cpuBefore = cpuOf(product.pid);
    await sleep(steadyMs);
    const share = (cpuOf(product.pid) - cpuBefore) / (steadyMs * 1_000);
    add('probing, share of one core', share * 100, '%', isLarge ? { most: 5 } : {});
    add('probing, CPU per cluster and minute', (share * 60_000) / clusters, 'ms');
    add('resident memory, connections kept', residentOf(product.pid), 'MB', isLarge ? { most: 450 } : {});

    progress('the list while probing');
    const list = { method: 'GET', path: CLUSTERS, headers: { Authorization: API_KEY } };
    await load(product.url, list, 2);
    const probing = await load(product.url, list, 5);
    await product.stop();

    progress('start');
    const before = Date.now();
    product = await startProduct(dataDir);
    add('start to the first 200', product.startMs, 'ms', { most: 1_000 });
    await untilSeen(product, before, clusters - silent + spare);
    add('first full round of states after the start', Date.now() - before, 'ms', isLarge ? { most: 8_000 } : {});
    await product.stop();

    progress('without the silent ones');
    const alone = await startProduct(join(dataDir, 'alone'));
    const readyAlone = await timeReady(alone, living, standIns.ca);
    add('READY later than without the silent ones', ready - readyAlone, 'ms', isLarge ? { most: 1_000 } : {});
    await alone.stop();

    progress('the list without clusters to probe');
    const quiet = await startProduct(dataDir);
    await disableAll(quiet);
    await load(quiet.url, list, 2);
    const still = await load(quiet.url, list, 5);
    add('REST list while probing, of its rate without', (probing.rate / still.rate) * 100, '%', { least: 80 });
    await quiet.stop();
  } finally {
    rmSync(dataDir, { recursive: true });
    await stop();
  }
  return figures;
}

async function importAll({ url }: Product, config: string): Promise<void> {
  const body = JSON.stringify({ config });
  await askWell(url, { method: 'POST', path: `${CLUSTERS}import`, headers: HEADERS, body });
}

/** From an import of these alone until all of them are READY, in milliseconds. */
async function timeReady(product: Product, ports: readonly number[], ca: string): Promise<number> {
  const began = performance.now();
  await importAll(product, kubeconfigOf(ports, ca));
  await until(product, 'READY', ports.length);
  return performance.now() - began;
}

function kubeconfigOf(ports: readonly number[], ca: string): string {
  const data = Buffer.from(ca).toString('base64');
  const named = ports.map((port) => ({ name: `cluster-${port}`, port }));
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: named.map(({ name, port }) => ({
      name,
      cluster: { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': data },
    })),
    users: named.map(({ name }) => ({ name, user: { token: `token-of-${name}` } })),
    contexts: named.map(({ name }) => ({ name, context: { cluster: name, user: name } })),
  });
}

async function query<Data>({ url }: Product, document: string): Promise<Data> {
  const body = JSON.stringify({ query: document });
  const answer = await askWell(url, { method: 'POST', path: '/graphql', headers: HEADERS, body });
  return (JSON.parse(answer.body.toString()) as { data: Data }).data;
}

/** Waits until so many clusters are in a state. */
async function until(product: Product, state: string, count: number): Promise<void> {
  const document = '{ clusters(first: 1) { stateCounts { state count } } }';
  const end = performance.now() + PATIENCE_MS;
  while (performance.now() < end) {
    const { clusters } = await query<{ clusters: { stateCounts: { state: string; count: number }[] } }>(
      product,
      document,
    );
    if ((clusters.stateCounts.find((one) => one.state === state)?.count ?? 0) >= count) return;
    await sleep(POLL_MS);
  }
  throw new Error(`${count} clusters were to be ${state} within ${PATIENCE_MS} ms`);
}

/** Waits until so many clusters are READY and were asked after a moment, in milliseconds since the epoch. */
async function untilSeen(product: Product, since: number, count: number): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (performance.now() < end) {
    if ((await countSeen(product, since)) >= count) return;
    await sleep(10 * POLL_MS);
  }
  throw new Error(`${count} clusters were to be asked anew within ${PATIENCE_MS} ms`);
}

async function countSeen(product: Product, since: number): Promise<number> {
  interface Page {
    readonly nodes: readonly { status: { state: string; observedAt: string | null } }[];
    readonly pageInfo: { hasNextPage: boolean; endCursor: string };
  }
  let seen = 0;
  for (let after = 'null'; ; ) {
    const document = `{ clusters(first: 100, after: ${after}) {
      nodes { status { state observedAt } } pageInfo { hasNextPage endCursor } } }`;
    const { nodes, pageInfo } = (await query<{ clusters: Page }>(product, document)).clusters;
    seen += nodes.filter(
      ({ status: { state, observedAt } }) => state === 'READY' && Date.parse(observedAt ?? '') >= since,
    ).length;
    if (!pageInfo.hasNextPage) return seen;
    after = JSON.stringify(pageInfo.endCursor);
  }
}

/** The time from a create to its version in an answer, for each of these stand-ins. */
async function timeVersions(product: Product, ports: readonly number[], ca: string): Promise<number[]> {
  const times: number[] = [];
  for (const port of ports) {
    const config = kubeconfigOf([port], ca);
    const body = JSON.stringify({ name: `spare-${port}`, config });
    const began = performance.now();
    await askWell(product.url, { method: 'POST', path: CLUSTERS, headers: HEADERS, body });
    const document = `{ cluster(by: { name: "spare-${port}" }) { status { version } } }`;
    while (
      !(await query<{ cluster: { status: { version: string | null } } }>(product, document)).cluster.status.version
    )
      await sleep(2);
    times.push(performance.now() - began);
  }
  return times;
}

async function disableAll(product: Product): Promise<void> {
  const { body } = await askWell(product.url, { method: 'GET', path: CLUSTERS, headers: HEADERS });
  for (const { id } of JSON.parse(body.toString()) as { id: number }[])
    await askWell(product.url, {
      method: 'PUT',
      path: `${CLUSTERS}${id}`,
      headers: HEADERS,
      body: '{"enabled":false}',
    });
}
