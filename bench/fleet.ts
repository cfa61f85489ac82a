import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { callOrThrow } from './client.ts';
import { load, wrkVersion } from './load.ts';
import { describeMachine } from './machine.ts';
import { cpuOf, residentOf } from './process.ts';
import { type Product, startProduct } from './product.ts';
import { CLUSTERS, query, rest, restList } from './requests.ts';
import { median } from './rounds.ts';
import { kubeconfigOf, startStandIns } from './stand-in-process.ts';
import { printTables } from './table.ts';
import { type Row, WHAT } from './targets.ts';
import { until } from './until.ts';

const SILENT_SHARE = 0.05;
/** Clusters that are created individually after the import. */
const SPARE = 40;

/**
 * Measures fleets of stand-in clusters: the first contact, new clusters and continuous probing. 5 % of the clusters are
 * silent: they accept connections but never respond.
 */
export async function benchFleet({ quick }: { quick: boolean }): Promise<void> {
  const about = describeMachine({ wrk: wrkVersion() });
  const rows: Row[] = [];
  for (const clusters of quick ? [10, 100] : [10, 100, 1_000])
    rows.push(...(await benchSize(clusters, quick ? 10_000 : 60_000)));
  console.log(JSON.stringify(about, null, 2));
  printTables(rows);
}

async function benchSize(clusters: number, steadyMs: number): Promise<Row[]> {
  const progress = (what: string) => console.error(`${clusters} clusters: ${what}`);
  const silent = Math.floor(clusters * SILENT_SHARE);
  const { standIns, stop } = await startStandIns(clusters - silent + SPARE, silent);
  const { ca } = standIns;
  const dataDir = mkdtempSync(join(tmpdir(), 'kitestring-bench-'));
  const rows: Row[] = [];
  const add = (what: string, figures: Row['figures']) => rows.push({ what, clusters, figures });
  try {
    progress('import');
    let product = await startProduct(dataDir);
    const living = standIns.answering.slice(0, clusters - silent);
    const start = performance.now();
    await importAll(product, [...living, ...standIns.silent], ca);
    add(WHAT.imported, { ms: performance.now() - start });
    await untilState(product, 'READY', clusters - silent);
    const ready = performance.now() - start;
    add(WHAT.ready, { ms: ready });
    if (silent > 0) {
      await untilState(product, 'UNREACHABLE', silent);
      add(WHAT.silent, { ms: performance.now() - start });
    }

    progress('create');
    const times = await timeVersions(product, standIns.answering.slice(clusters - silent), ca);
    add(WHAT.version, { ms: median(times) });
    add(WHAT.slowestVersion, { ms: Math.max(...times) });

    progress(`continuous probing for ${steadyMs / 1_000} s`);
    const cpuBefore = cpuOf(product.pid);
    await sleep(steadyMs);
    const share = (cpuOf(product.pid) - cpuBefore) / (steadyMs * 1_000);
    add(WHAT.probing, { percent: share * 100 });
    add(WHAT.probingEach, { ms: (share * 60_000) / clusters });
    add(WHAT.connected, { MB: residentOf(product.pid) });

    progress('the list while probing');
    await load(product.url, restList, 2);
    const probing = await load(product.url, restList, 5);
    await product.stop();

    progress('start');
    const before = Date.now();
    product = await startProduct(dataDir);
    add(WHAT.startProbing, { ms: product.startMs });
    await until(
      'every responding cluster was probed again',
      async () => (await countProbed(product, before)) >= clusters - silent + SPARE,
      200,
    );
    add(WHAT.firstRound, { ms: Date.now() - before });
    await product.stop();

    progress('without the silent clusters');
    const alone = await startProduct(join(dataDir, 'alone'));
    const startAlone = performance.now();
    await importAll(alone, living, ca);
    await untilState(alone, 'READY', living.length);
    add(WHAT.heldUp, { ms: ready - (performance.now() - startAlone) });
    await alone.stop();

    progress('the list without clusters to probe');
    const quiet = await startProduct(dataDir);
    await disableAll(quiet);
    await load(quiet.url, restList, 2);
    const still = await load(quiet.url, restList, 5);
    add(WHAT.listProbing, { percent: (probing.rate / still.rate) * 100 });
    await quiet.stop();
  } finally {
    rmSync(dataDir, { recursive: true });
    await stop();
  }
  return rows;
}

async function importAll({ url }: Product, ports: readonly number[], ca: string): Promise<void> {
  await callOrThrow(url, rest('POST', `${CLUSTERS}import`, { config: kubeconfigOf(ports, { ca, prefix: 'cluster' }) }));
}

/** Waits until `count` clusters are in a state. */
async function untilState({ url }: Product, state: string, count: number): Promise<void> {
  interface Counted {
    readonly clusters: { readonly stateCounts: readonly { state: string; count: number }[] };
  }
  await until(`${count} clusters are ${state}`, async () => {
    const { clusters } = await query<Counted>(url, '{ clusters(first: 1) { stateCounts { state count } } }');
    return (clusters.stateCounts.find((one) => one.state === state)?.count ?? 0) >= count;
  });
}

/** Counts the READY clusters that were probed at or after `since`, in milliseconds since the epoch. */
async function countProbed({ url }: Product, since: number): Promise<number> {
  interface Page {
    readonly nodes: readonly { status: { state: string; observedAt: string | null } }[];
    readonly pageInfo: { hasNextPage: boolean; endCursor: string };
  }
  const document = `query ($after: String) { clusters(first: 100, after: $after) {
    nodes { status { state observedAt } } pageInfo { hasNextPage endCursor } } }`;
  let probed = 0;
  for (let after: string | null = null; ; ) {
    const { clusters }: { clusters: Page } = await query(url, document, { after });
    probed += clusters.nodes.filter(
      ({ status: { state, observedAt } }) => state === 'READY' && Date.parse(observedAt ?? '') >= since,
    ).length;
    if (!clusters.pageInfo.hasNextPage) return probed;
    after = clusters.pageInfo.endCursor;
  }
}

/** Measures the milliseconds from the creation of a cluster until its version is visible, for each of these ports. */
async function timeVersions({ url }: Product, ports: readonly number[], ca: string): Promise<number[]> {
  const times: number[] = [];
  for (const port of ports) {
    const name = `spare-${port}`;
    const start = performance.now();
    await callOrThrow(url, rest('POST', CLUSTERS, { name, config: kubeconfigOf([port], { ca, prefix: 'spare' }) }));
    const document = 'query ($name: String!) { cluster(by: { name: $name }) { status { version } } }';
    await until(
      `${name} has a version`,
      async () => {
        const { cluster } = await query<{ cluster: { status: { version: string | null } } }>(url, document, { name });
        return cluster.status.version !== null;
      },
      2,
    );
    times.push(performance.now() - start);
  }
  return times;
}

async function disableAll({ url }: Product): Promise<void> {
  const { body } = await callOrThrow(url, restList);
  for (const { id } of JSON.parse(body.toString()) as { id: number }[])
    await callOrThrow(url, rest('PUT', `${CLUSTERS}${id}`, { enabled: false }));
}
