import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compareWithBare } from './against-bare.ts';
import { computeInside } from './inside.ts';
import { CONNECTIONS, wrkVersion } from './load.ts';
import { describeMachine } from './machine.ts';
import { startProduct } from './product.ts';
import { median } from './rounds.ts';
import { seed } from './seed.ts';
import { printTables } from './table.ts';
import { judge, type Row, WHAT } from './targets.ts';

const RESULTS = fileURLToPath(new URL('results.json', import.meta.url));

/** The registry sizes and the number of repetitions of each measurement. */
interface Plan {
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly starts: number;
  readonly inside: number;
}

const FULL: Plan = { sizes: [10, 100, 1_000], rounds: 7, starts: 5, inside: 40 };
const QUICK: Plan = { sizes: [10, 1_000], rounds: 1, starts: 1, inside: 10 };

/** Measures responses, changes, starts and memory for each size of the registry, and writes `results.json`. */
export async function benchRegistry({ quick }: { quick: boolean }): Promise<void> {
  const about = describeMachine({ wrk: wrkVersion() });
  const plan = quick ? QUICK : FULL;
  const root = mkdtempSync(join(tmpdir(), 'kitestring-bench-'));
  const rows: Row[] = [];
  try {
    const ms = await timeStarts(plan.starts, (start) => join(root, `empty-${start}`));
    rows.push({ what: WHAT.firstStart, clusters: 0, figures: { ms } });
    for (const clusters of plan.sizes) rows.push(...(await benchSize(join(root, String(clusters)), clusters, plan)));
  } finally {
    rmSync(root, { recursive: true });
  }
  console.log(JSON.stringify(about, null, 2));
  printTables(rows);
  const results = rows.map((row) => ({ ...row, targets: judge(row) }));
  writeFileSync(RESULTS, `${JSON.stringify({ ...about, connections: CONNECTIONS, plan, results }, null, 2)}\n`);
}

async function benchSize(dataDir: string, clusters: number, { rounds, starts, inside }: Plan): Promise<Row[]> {
  const progress = (what: string) => console.error(`${clusters} clusters: ${what}`);
  progress('seed');
  await seed(dataDir, clusters);
  progress(WHAT.start);
  const startMs = await timeStarts(starts, () => dataDir);
  const product = await startProduct(dataDir);
  const rows = await compareWithBare(product, { clusters, rounds, progress });
  await product.stop();
  progress('inside');
  const computed = await computeInside(dataDir, inside);
  const row = (what: string, figures: Row['figures']): Row => ({ what, clusters, figures });
  return [
    ...rows,
    row(WHAT.insideList, { ms: computed.restList }),
    row(WHAT.insidePage, { ms: computed.page }),
    row(WHAT.start, { ms: startMs }),
  ];
}

async function timeStarts(starts: number, dataDirOf: (start: number) => string): Promise<number> {
  const times: number[] = [];
  for (let start = 0; start < starts; start++) {
    const { startMs, stop } = await startProduct(dataDirOf(start));
    times.push(startMs);
    await stop();
  }
  return median(times);
}
