import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseLocation } from '../src/storage/database.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from '../test/support/postgres-server.ts';
import { callOrThrow, type HttpRequest } from './client.ts';
import { describeMachine } from './machine.ts';
import { residentOf } from './process.ts';
import { type Product, startProduct } from './product.ts';
import { probeFirst, timeNotifications } from './replicas.ts';
import { CLUSTERS, graphql, rest } from './requests.ts';
import { median } from './rounds.ts';
import { clusterRows } from './seed.ts';

/** One measured value of one setup for one size of the registry. */
interface Figure {
  readonly setUp: string;
  readonly clusters: number;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
}

const SEAL_KEY = Buffer.alloc(32, 7).toString('base64');
const REPEATS = 40;

const page = (filter: string) => `{
  clusters(first: 50, filter: ${filter}) {
    totalCount stateCounts { state count } nodes { id name labels { key value } status { state } }
  } }`;

/** Reads that are measured without the cache: each one follows a change. */
const READS: Readonly<Record<string, (clusters: number) => HttpRequest>> = {
  'page of 50 by id': () => graphql(page('{}'), {}),
  'page of 50 by state': () => graphql(page('{ states: [UNREACHABLE] }'), {}),
  'page of 50 by label': () => graphql(page('{ labelSelector: "team=t5" }'), {}),
  'page of 50 by search': () => graphql(page('{ search: "of team 17" }'), {}),
  'one by name': (clusters) =>
    graphql('query ($name: String!) { cluster(by: { name: $name }) { id description labels { key value } } }', {
      name: `cluster-${String(clusters - 1).padStart(5, '0')}`,
    }),
};

/**
 * Measures both databases with growing registries, PostgreSQL with one replica and with three. Prints how each cost
 * grows as an exponent of the size.
 */
export async function benchScale({ quick }: { quick: boolean }): Promise<void> {
  const sizes = quick ? [100, 1_000] : [100, 1_000, 10_000];
  const postgres = (await postgresPrograms()) === undefined ? undefined : await startPostgres(['fsync=on']);
  if (!postgres) console.error('skipped: PostgreSQL is not installed');
  const root = mkdtempSync(join(tmpdir(), 'kitestring-bench-'));
  const figures: Figure[] = [];
  try {
    for (const clusters of sizes) {
      figures.push(...(await benchSetUp('SQLite, 1', { clusters, root, place: fileIn(root, clusters), replicas: 1 })));
      if (!postgres) continue;
      for (const replicas of [1, 3]) {
        const place = schemaOn(postgres, `s${clusters}_${replicas}`);
        figures.push(...(await benchSetUp(`PostgreSQL, ${replicas}`, { clusters, root, place, replicas })));
      }
    }
  } finally {
    await postgres?.remove();
    rmSync(root, { recursive: true });
  }
  console.log(JSON.stringify(describeMachine(), null, 2));
  print(figures, sizes);
}

const fileIn = (root: string, clusters: number): DatabaseLocation => ({
  file: join(root, `sqlite-${clusters}`, 'kitestring.db'),
});

function schemaOn({ url }: PostgresServer, schema: string): DatabaseLocation {
  const withSchema = new URL(url);
  withSchema.searchParams.set('schema', schema);
  return { url: withSchema.href };
}

async function benchSetUp(
  setUp: string,
  { clusters, root, place, replicas }: { clusters: number; root: string; place: DatabaseLocation; replicas: number },
): Promise<Figure[]> {
  console.error(`${clusters} clusters: ${setUp}`);
  await fill(place, clusters);
  const products: Product[] = [];
  for (let replica = 0; replica < replicas; replica++) {
    const dataDir = place.file !== undefined ? join(place.file, '..') : join(root, `${setUp}-${clusters}-${replica}`);
    const environment = place.url !== undefined ? { DATABASE_URL: place.url, SEAL_KEY } : {};
    products.push(await startProduct(dataDir, environment));
  }
  const [first, last] = [products[0], products.at(-1)] as [Product, Product];
  const figures: Figure[] = [];
  const add = (what: string, value: number, unit = 'ms') => figures.push({ setUp, clusters, what, value, unit });
  try {
    for (const [what, requestOf] of Object.entries(READS)) {
      const times: number[] = [];
      for (let repeat = 0; repeat < REPEATS; repeat++) {
        await callOrThrow(first.url, rest('PUT', `${CLUSTERS}1`, { description: `change ${what} ${repeat}` }));
        times.push(await timed(() => callOrThrow(last.url, requestOf(clusters))));
      }
      add(`${what}, not cached`, median(times));
    }
    const changes: number[] = [];
    for (let repeat = 0; repeat < REPEATS; repeat++)
      changes.push(
        await timed(() => callOrThrow(first.url, rest('PUT', `${CLUSTERS}2`, { description: `${repeat}` }))),
      );
    add('update', median(changes));
    const delays = await timeNotifications(first, last, REPEATS);
    add('change to subscriber, p50', median(delays));
    add('change to subscriber, p99', Math.max(...delays));
    add('resident memory', residentOf(first.pid), 'MB');
    if (clusters <= 1_000) {
      const { seconds, cpuMs } = await probeFirst(products, clusters);
      add('first contact of all', clusters / seconds, 'clusters/s');
      add('CPU of a first contact', cpuMs, 'ms each');
    }
  } finally {
    await Promise.all(products.map(({ stop }) => stop()));
  }
  return figures;
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** Fills a registry with disabled clusters, which are not probed. */
async function fill(place: DatabaseLocation, clusters: number): Promise<void> {
  const database = await openDatabase(place);
  await database.write('registry', async (tx, { registry = 0 }) => {
    const { rows, labelsOf } = clusterRows(clusters, registry);
    const created = await tx.cluster.createManyAndReturn({ data: rows, select: { id: true } });
    await tx.clusterLabel.createMany({
      data: created.flatMap(({ id }, index) => labelsOf(index).map((label) => ({ clusterId: id, ...label }))),
    });
  });
  if (database.kind === 'postgres') await database.prisma.$executeRaw`ANALYZE`;
  await database.close();
}

/**
 * The exponent of growth, by linear regression of the logarithms: 0 means constant cost, 1 cost proportional to size.
 */
function exponentOf(points: readonly { readonly clusters: number; readonly value: number }[]): number {
  const logs = points.map(({ clusters, value }) => [Math.log(clusters), Math.log(value)] as const);
  const mean = (at: 0 | 1) => logs.reduce((sum, log) => sum + log[at], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  const [over, under] = logs.reduce(([a, b], log) => [a + (log[0] - x) * (log[1] - y), b + (log[0] - x) ** 2], [0, 0]);
  return over / under;
}

function print(figures: readonly Figure[], sizes: readonly number[]): void {
  const setUps = [...new Set(figures.map(({ setUp }) => setUp))];
  const whats = [...new Set(figures.map(({ what }) => what))];
  const cells = [...sizes.map(String), 'exponent', 'of SQLite, 1'].map((cell) => cell.padStart(13)).join('');
  console.log(`${'what'.padEnd(34)}${'database, replicas'.padEnd(20)}${cells}`);
  for (const what of whats) {
    for (const setUp of setUps) {
      const points = figures.filter((figure) => figure.what === what && figure.setUp === setUp);
      const base = figures.filter((figure) => figure.what === what && figure.setUp === setUps[0]).at(-1);
      const at = (size: number) => points.find(({ clusters }) => clusters === size)?.value.toFixed(1) ?? '';
      const last = points.at(-1);
      const ratio = last && base ? `${(last.value / base.value).toFixed(2)} ×` : '';
      const values = [...sizes.map(at), points.length > 1 ? exponentOf(points).toFixed(2) : '', ratio];
      console.log(
        `${`${what} (${last?.unit})`.padEnd(34)}${setUp.padEnd(20)}${values.map((value) => value.padStart(13)).join('')}`,
      );
    }
  }
}
