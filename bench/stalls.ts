import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type PostgresServer, postgresPrograms, startPostgres } from '../test/support/postgres-server.ts';
import { describeMachine } from './machine.ts';
import { type Measured, MOST_MB, measureStall } from './measure-stall.ts';
import type { Scenario } from './scenario.ts';
import {
  HEAP_MB,
  type ServerOptions,
  type ServerStarter,
  type ServerUnderTest,
  startServerUnderTest,
} from './server-under-test.ts';
import { OMITTED_ROWS, SCENARIOS } from './stall-scenarios.ts';
import { type SeededRegistry, seedPostgres, seedSqlite } from './stall-seed.ts';
import { printLines } from './table.ts';

/** The number of concurrent attacks. They may stall other callers for 500 ms, a single attack for 100 ms. */
const MANY = 50;
const MANY_STALL_MS = 500;
/**
 * If a single attack stalls others for longer than this, 50 attacks would only reach the deadline and are not measured.
 */
const TOO_LONG_MS = 2_000;

/** Measures how each attack of the issue "One request cannot stall the server" affects other callers. */
export async function benchStalls({ quick, words }: { quick: boolean; words: readonly string[] }): Promise<void> {
  const { values } = parseArgs({
    args: words.filter((word) => word !== '--quick'),
    options: {
      tree: { type: 'string', default: join(import.meta.dirname, '..') },
      clusters: { type: 'string', default: quick ? '1000' : '1000,10000' },
      rows: { type: 'string' },
      deadline: { type: 'string', default: '60' },
    },
  });
  const tree = pathToFileURL(`${resolve(values.tree)}/`);
  const rows = values.rows?.split(',').map(Number);
  const scenarios = SCENARIOS.filter(({ row }) => rows?.includes(row) ?? true);
  const options = { tree, scenarios, deadlineMs: Number(values.deadline) * 1_000 };
  const postgres = (await postgresPrograms()) === undefined ? undefined : await startPostgres();
  const root = mkdtempSync(join(tmpdir(), 'kitestring-bench-'));
  const measured: Measured[] = [];
  try {
    const sizes = values.clusters.split(',').map(Number);
    for (const clusters of sizes)
      measured.push(...(await measureSize(clusters, { ...options, postgres, root, isFirst: clusters === sizes[0] })));
  } finally {
    await postgres?.remove();
    rmSync(root, { recursive: true });
  }
  const { machine, versions, start } = describeMachine({ tree });
  console.log(JSON.stringify({ machine, versions, start }, null, 2));
  printMeasured(measured, options.deadlineMs);
  // A scenario that failed in preparation may have left a stand-in cluster behind, which would keep this process
  // running.
  process.exit(0);
}

interface SizeOptions {
  readonly tree: URL;
  readonly scenarios: readonly Scenario[];
  readonly deadlineMs: number;
  readonly postgres: PostgresServer | undefined;
  readonly root: string;
  readonly isFirst: boolean;
}

async function measureSize(clusters: number, options: SizeOptions): Promise<Measured[]> {
  const { tree, scenarios, deadlineMs, postgres, root, isFirst } = options;
  const seeded: Partial<Record<string, SeededRegistry>> = {};
  const seed = async (registry: NonNullable<ServerOptions['registry']>) => {
    const dataDir = join(root, `${registry}-${clusters}`);
    if (registry === 'postgres') {
      if (!postgres) throw new Error('PostgreSQL is not installed');
      return seedPostgres(postgres, { dataDir, clusters, tree });
    }
    return seedSqlite({ dataDir, clusters: registry === 'empty' ? 0 : clusters, tree });
  };
  const servers: ServerUnderTest[] = [];
  const starter: ServerStarter = {
    clusters,
    start: async (serverOptions = {}) => {
      const registry = serverOptions.registry ?? 'sqlite';
      seeded[registry] ??= await seed(registry);
      const started = await startServerUnderTest(seeded[registry], { root, tree, ...serverOptions });
      servers.push(started);
      return started;
    },
  };
  const measured: Measured[] = [];
  for (const scenario of scenarios) {
    if (scenario.ownClusters !== undefined && !isFirst) continue;
    const measure = async (times: number) => {
      try {
        const one = await measureStall(scenario, { starter, times, deadlineMs: scenario.deadlineMs ?? deadlineMs });
        console.error(lineOf(one));
        measured.push(one);
        return one;
      } catch (error) {
        // A scenario may not work with an older tree. The others are still measured.
        console.error(`row ${scenario.row}  ${scenario.what}: not measured: ${String(error)}`);
        return undefined;
      } finally {
        for (const server of servers.splice(0)) await server.remove();
      }
    };
    const one = await measure(1);
    if (scenario.many && one && !one.isCut && one.stallMs <= TOO_LONG_MS) await measure(MANY);
  }
  return measured;
}

const COLUMNS: readonly (readonly [heading: string, cell: (one: Measured) => string])[] = [
  ['row', ({ row }) => String(row)],
  ['what', ({ what }) => what],
  ['clusters', ({ clusters }) => String(clusters)],
  ['concurrent', ({ times }) => String(times)],
  ['idle ms', ({ idleMedianMs, idleLongestMs }) => `${idleMedianMs.toFixed(1)} to ${idleLongestMs.toFixed(1)}`],
  ['stall ms', ({ stallMs, isStillWaiting }) => `${isStillWaiting ? 'over ' : ''}${stallMs.toFixed(0)}`],
  ['memory MB', ({ memoryMB }) => `+${memoryMB.toFixed(0)}`],
  ['CPU s', ({ cpuS }) => (Number.isNaN(cpuS) ? '?' : cpuS.toFixed(2))],
  ['took s', ({ tookS }) => tookS.toFixed(1)],
  ['response bytes', ({ bytes }) => bytes.toLocaleString('en')],
  ['responses', ({ answered }) => answered],
  ['note', ({ note }) => note],
];
const TEXT = new Set(['what', 'responses', 'note']);

function lineOf(one: Measured): string {
  return COLUMNS.map(([heading, cell]) => (TEXT.has(heading) ? cell(one) : `${heading} ${cell(one)}`)).join('  ');
}

function printMeasured(measured: readonly Measured[], deadlineMs: number): void {
  const lines = [COLUMNS.map(([heading]) => heading), ...measured.map((one) => COLUMNS.map(([, cell]) => cell(one)))];
  printLines(lines, (column) => TEXT.has(COLUMNS[column]?.[0] ?? ''));
  console.log(`
Stall: the longest response time of GET /healthz during the attack minus the longest one before it. Limits: 100 ms for one attack, ${MANY_STALL_MS} ms for ${MANY} concurrent attacks.
Memory: the peak resident memory during the attack minus the memory before it. Response bytes: the size of all response bodies.
${MANY} concurrent attacks are skipped if a single one stalls for longer than ${TOO_LONG_MS / 1_000} s. An attack is stopped after ${deadlineMs / 1_000} s.
Each attack runs against a new server with a heap of at most ${HEAP_MB} MB, which is killed at ${MOST_MB} MB of resident memory.
${OMITTED_ROWS}`);
}
