import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { type StartOptions, startProduct } from './product.ts';
import type { Keys, SeededRegistry } from './stall-seed.ts';

/** A server to attack, with a copy of a seeded registry. */
export interface ServerUnderTest {
  readonly url: string;
  readonly pid: number;
  readonly keys: Keys;
  readonly dataDir: string;
  /** Reads the server's output so far. */
  readonly log: () => string;
  /** Kills the server and removes the copy. */
  readonly remove: () => Promise<void>;
}

/** Requirements of a scenario for its server. */
export interface ServerOptions {
  readonly environment?: Record<string, string>;
  readonly descriptors?: number;
  /** The registry to copy; `empty` has no clusters. Default: `sqlite`. */
  readonly registry?: 'sqlite' | 'postgres' | 'empty';
  /** Changes the data directory before the server starts. */
  readonly prepare?: (dataDir: string) => void;
}

/** Starts the servers of scenarios for one size of the registry. */
export interface ServerStarter {
  readonly clusters: number;
  readonly start: (options?: ServerOptions) => Promise<ServerUnderTest>;
}

/** The limit of the server's V8 heap in megabytes. Buffers are not part of the heap. */
export const HEAP_MB = 2_500;

/** The default limit of a caller's cost per minute. The other benchmarks disable the limit. */
const DEFAULT_COST = { GRAPHQL_COST_PER_MINUTE: '10000000' };

/** Starts a server with a copy of the registry, Kitestring's default limits and a limited heap. */
export async function startServerUnderTest(
  { dataDir: original, environment, keys }: SeededRegistry,
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
  const server = await startProduct(dataDir, { ...DEFAULT_COST, ...environment, ...options.environment }, start);
  const remove = async () => {
    // A stalled server does not handle SIGTERM.
    await server.stop('SIGKILL');
    rmSync(directory, { recursive: true });
  };
  return { url: server.url, pid: server.pid, keys, dataDir, log: () => readFileSync(file, 'utf8'), remove };
}
