import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../test/support/free-port.ts';
import { call } from './client.ts';
import { type ServerProcess, spawnNode } from './process.ts';

/** The admin API key of every server that the benchmarks start. */
export const API_KEY = `kite1-${randomBytes(32).toString('hex')}`;

const ROOT = new URL('../', import.meta.url);
const LIST = { method: 'GET', path: '/api/v1/admin/clusters/', headers: { Authorization: API_KEY } };
const POLL_MS = 2;

export interface Product extends ServerProcess {
  /** Milliseconds from the start of the process to its first 200 response. */
  readonly startMs: number;
}

/** How the start differs from `npm start`. */
export interface StartOptions {
  /** The checkout that contains the server; default: this one. */
  readonly tree?: URL | undefined;
  /** Additional arguments for Node, such as `--max-old-space-size=2500`. */
  readonly flags?: readonly string[];
  /** The file descriptor that receives the server's output; default: /dev/null. */
  readonly output?: number;
  /** The limit of open file descriptors (`ulimit -n`); default: the limit of this process. */
  readonly descriptors?: number | undefined;
}

/** Starts the server as `npm start` does, on a free port, and waits until it serves the cluster list. */
export async function startProduct(
  dataDir: string,
  more: Record<string, string> = {},
  { tree = ROOT, flags = [], output, descriptors }: StartOptions = {},
): Promise<Product> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const start = performance.now();
  const { environment, words } = startScript(tree);
  const { child, pid, stop } = spawnNode([...flags, ...words], {
    environment: {
      ...environment,
      ...{ PORT: String(port), METRICS_PORT: '0', DATA_DIR: dataDir, ADMIN_API_KEY: API_KEY },
      // No limit, because the benchmarks send every request as the same caller.
      GRAPHQL_COST_PER_MINUTE: '0',
      ...more,
    },
    stdout: output ?? 'ignore',
    descriptors,
  });
  while (!(await hasStarted(url))) {
    if (child.exitCode !== null) throw new Error(`the server exited with ${child.exitCode} before its first response`);
    await sleep(POLL_MS);
  }
  return { url, pid, stop, startMs: performance.now() - start };
}

/** Parses the script `start` of package.json: the environment variables before `node` and the arguments after it. */
export function startScript(tree = ROOT): { environment: Record<string, string>; words: string[] } {
  const { scripts } = JSON.parse(readFileSync(new URL('package.json', tree), 'utf8')) as { scripts: { start: string } };
  const [before = '', after = ''] = scripts.start.split(/\bnode /);
  const set = before.split(' ').filter((word) => word.includes('='));
  return {
    environment: Object.fromEntries(set.map((word) => word.split('=') as [string, string])),
    words: after.split(' ').map((word) => (word.startsWith('-') ? word : fileURLToPath(new URL(word, tree)))),
  };
}

async function hasStarted(url: string): Promise<boolean> {
  try {
    return (await call(url, LIST)).status === 200;
  } catch {
    return false;
  }
}
