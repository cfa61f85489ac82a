import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { access, chmod, constants, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { readKubeconfig } from '../../src/kubernetes/kubeconfig/kubeconfig.ts';
import type { Target } from '../../src/kubernetes/kubeconfig/target.ts';

const source = fileURLToPath(new URL('../api-server/', import.meta.url));
/** Where a prebuilt program may lie beside the checkout; see test/api-server/README.md. */
const beside = fileURLToPath(new URL('../../../shared/api-server/', import.meta.url));

/** Kubernetes' own API servers, with faults that tests can inject. */
export interface ApiServers {
  /** Injects a fault, which stays in effect; returns the response of the control port. */
  readonly fault: (cluster: number, fault: string, parameters?: Record<string, string>) => Promise<unknown>;
  /** Compacts etcd's history, so that earlier continue tokens expire. */
  readonly compact: () => Promise<unknown>;
  readonly clusters: () => Promise<{ number: number; server: string; version: string; kubeSystemUID: string }[]>;
  /** The current target of a kubeconfig user of a cluster: `cluster-1`, `admin-1`, `reader-1`, `nobody-1`. */
  readonly target: (cluster: number, user: string) => Promise<Target>;
  readonly close: () => Promise<void>;
}

/**
 * Returns the program of the API servers, built or unpacked once into a cache; otherwise the reason why it is not
 * available.
 */
export async function findApiServers(): Promise<{ binary: string } | { missing: string }> {
  if (!(await isOnPath('etcd'))) return { missing: 'etcd is not on PATH: apt-get install etcd-server' };
  const hash = await hashOfSource();
  const { KUBE_API_SERVER_CACHE, XDG_CACHE_HOME = join(homedir(), '.cache') } = process.env;
  const cache = KUBE_API_SERVER_CACHE ?? join(XDG_CACHE_HOME, 'kube-api-server');
  const binary = join(cache, `kube-api-server-${hash}`);
  if (existsSync(binary)) return { binary };
  await mkdir(cache, { recursive: true });
  const packed = join(beside, `built.${hash}.xz`);
  const canUnpack = existsSync(packed) && process.platform === 'linux' && process.arch === 'x64';
  if (canUnpack && (await isOnPath('xz'))) {
    await unpack(packed, binary);
    return { binary };
  }
  if (!(await isOnPath('go')))
    return { missing: 'no ready-built API server lies beside the checkout, and go is not on PATH' };
  try {
    await promisify(execFile)(join(source, 'build.sh'), [binary]);
    return { binary };
  } catch {
    return { missing: 'test/api-server/build.sh fails: are its Go modules out of reach?' };
  }
}

/** Starts this many new API servers over one new etcd. They stop when this process ends, even if it is killed. */
export async function startApiServers(binary: string, clusters: number): Promise<ApiServers> {
  const directory = await mkdtemp(join(tmpdir(), 'kitestring-api-servers-'));
  const child = spawn(binary, ['--clusters', String(clusters), '--dir', directory, '--stop-on-eof'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  const isReady = async () => {
    for await (const line of createInterface({ input: child.stdout })) if (line === 'ready') return true;
    return false;
  };
  if (!(await isReady())) throw new Error(`the API servers did not become ready: see ${directory}`);
  const control = (await readFile(join(directory, 'control.txt'), 'utf8')).trim();
  const callControlPort = async (path: string, method = 'POST') => {
    const response = await fetch(`${control}${path}`, { method });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  return {
    fault: (cluster, fault, parameters = {}) =>
      callControlPort(`/clusters/${cluster}/${fault}?${new URLSearchParams(parameters)}`),
    compact: () => callControlPort('/compact'),
    clusters: () => callControlPort('/clusters', 'GET') as ReturnType<ApiServers['clusters']>,
    target: async (cluster, user) =>
      targetOf(await readFile(join(directory, 'kubeconfig.yaml'), 'utf8'), cluster, user),
    close: async () => {
      child.stdin.end();
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function targetOf(text: string, cluster: number, user: string): Target {
  const config = parse(text) as { contexts: { name: string; context: { cluster: string; user: string } }[] };
  const context = { name: 'wanted', context: { cluster: `cluster-${cluster}`, user } };
  const kubeconfig = JSON.stringify({ ...config, contexts: [context] });
  const policy = { allowLoopback: true, allowHttp: false, allowInsecureTls: false, allowProxy: false };
  const target = readKubeconfig(kubeconfig, policy).contexts?.[0]?.target;
  if (!target) throw new Error(`the kubeconfig has no ${user} of cluster-${cluster}`);
  return target;
}

/** The hash by which start.sh names its build. */
async function hashOfSource(): Promise<string> {
  const programs = (await readdir(source)).filter((name) => name.endsWith('.go')).toSorted();
  const hash = createHash('sha256');
  for (const name of ['go.mod', 'go.sum', ...programs, 'seed.yaml']) hash.update(await readFile(join(source, name)));
  return hash.digest('hex').slice(0, 16);
}

async function unpack(packed: string, binary: string): Promise<void> {
  const partial = `${binary}.${process.pid}`;
  const xz = spawn('xz', ['-dc'], { stdio: ['pipe', 'pipe', 'inherit'] });
  await Promise.all([pipeline(createReadStream(packed), xz.stdin), pipeline(xz.stdout, createWriteStream(partial))]);
  await chmod(partial, 0o755);
  await rename(partial, binary);
}

async function isOnPath(program: string): Promise<boolean> {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const found = await access(join(directory, program), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}
