import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { type StartOptions, startProduct } from './product.ts';
import type { Keys, SeededRegistry } from './stall-seed.ts';

/** A server that is about to be attacked, over a copy of a seeded registry. */
export interface ServerUnderTest {
  readonly url: string;
  readonly pid: number;
  readonly keys: Keys;
  readonly dataDir: string;
  /** What the server has written so far. */
  readonly log: () => string;
  /** Kills the server and removes the copy. */
  readonly remove: () => Promise<void>;
}

/** What a scenario needs of its server beside a seeded registry. */
export interface ServerOptions {
  readonly environment?: Record<string, string>;
  readonly descriptors?: number;
  /** `empty` begins with a registry without clusters. */
  readonly registry?: 'sqlite' | 'postgres' | 'empty';
  /** Changes the data directory before the server starts. */
  readonly prepare?: (dataDir: string) => void;
}

/** Starts the servers of scenarios at one size of the registry. */
export interface ServerStarter {
  readonly clusters: number;
  readonly start: (options?: ServerOptions) => Promise<ServerUnderTest>;
}

/** Megabytes of V8's heap in the server; buffers lie outside it. */
export const HEAP_MB = 2_500;

/** What a caller may cost a minute unless the configuration says otherwise; the other benches have no limit. */
const DEFAULT_COST = { GRAPHQL_COST_PER_MINUTE: '10000000' };

/** Starts a server over a copy of the registry, with Kitestring's own limits and a limited heap. */
export async function startServerUnderTest(
  { dataDir: original, environment: place, keys }: SeededRegistry,
  { root, tree, ...options }: { root: string; tree: URL } & ServerOptions,
): Promise<ServerUnderTest> {
  const directory = mkdtempSync(join(root, 'server-'));
  const dataDir = join(directory, 'data');
  await cp(original, dataDir, { recursive: true });
  options.prepare?.(dataDir);
  const file = join(directory, 'log');
  const start: StartOptions = {
    tree,
    flags: [`--max-old-space-size=${HEAP_MB}`],
    output: openSync(file, 'a'),
    descriptors: options.descriptors,
  };
  const server = await startProduct(dataDir, { ...DEFAULT_COST, ...place, ...options.environment }, start);
  const remove = async () => {
    // A stalled server does not hear SIGTERM.
    await server.stop('SIGKILL');
    rmSync(directory, { recursive: true });
  };
  return { url: server.url, pid: server.pid, keys, dataDir, log: () => readFileSync(file, 'utf8'), remove };
}
