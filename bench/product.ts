import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../test/support/free-port.ts';
import { ask } from './client.ts';
import { type ServerProcess, spawnNode } from './process.ts';

/** The admin key of every server that is started here. */
export const API_KEY = `kite1-${randomBytes(32).toString('hex')}`;

const ROOT = new URL('../', import.meta.url);
const LIST = { method: 'GET', path: '/api/v1/admin/clusters/', headers: { Authorization: API_KEY } };
const POLL_MS = 2;

export interface Product extends ServerProcess {
  /** From the start of the process to its first 200, in milliseconds. */
  readonly startMs: number;
}

/** How a server is started other than `npm start` does it. */
export interface StartOptions {
  /** The checkout whose server it is; absent: this one. */
  readonly tree?: URL | undefined;
  /** More words for Node, such as `--max-old-space-size=2500`. */
  readonly flags?: readonly string[];
  /** The file descriptor that takes its output; absent: /dev/null. */
  readonly output?: number;
  /** What `ulimit -n` says; absent: as it is here. */
  readonly descriptors?: number | undefined;
}

/** Starts the server as `npm start` does, on a free port, and waits for its first answer of the list. */
export async function startProduct(
  dataDir: string,
  more: Record<string, string> = {},
  { tree = ROOT, flags = [], output, descriptors }: StartOptions = {},
): Promise<Product> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const began = performance.now();
  const { environment, words } = startScript(tree);
  const { child, pid, stop } = spawnNode([...flags, ...words], {
    // One caller asks far more than anybody does.
    environment: {
      ...environment,
      ...{ PORT: String(port), METRICS_PORT: '0', DATA_DIR: dataDir, ADMIN_API_KEY: API_KEY },
      GRAPHQL_COST_PER_MINUTE: '0',
      ...more,
    },
    stdout: output ?? 'ignore',
    descriptors,
  });
  while (!(await answers(url))) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode} before its first answer`);
    await sleep(POLL_MS);
  }
  return { url, pid, stop, startMs: performance.now() - began };
}

/** What the script `start` of package.json hands to Node: variables before it, words after it. */
export function startScript(tree = ROOT): { environment: Record<string, string>; words: string[] } {
  const { scripts } = JSON.parse(readFileSync(new URL('package.json', tree), 'utf8')) as { scripts: { start: string } };
  const [before = '', after = ''] = scripts.start.split(/\bnode /);
  const set = before.split(' ').filter((word) => word.includes('='));
  return {
    environment: Object.fromEntries(set.map((word) => word.split('=') as [string, string])),
    words: after.split(' ').map((word) => (word.startsWith('-') ? word : fileURLToPath(new URL(word, tree)))),
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await ask(url, LIST)).status === 200;
  } catch {
    return false;
  }
}
