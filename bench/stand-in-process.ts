import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { spawnNode } from './process.ts';

/**
 * The ports of running stand-in clusters and the CA of their certificates. Silent ones accept connections but never
 * respond.
 */
interface StandIns {
  readonly answering: readonly number[];
  readonly silent: readonly number[];
  readonly ca: string;
}

/** A kubeconfig with one context per port, named `<prefix>-<port>`. */
export function kubeconfigOf(ports: readonly number[], { ca, prefix }: { ca: string; prefix: string }): string {
  const data = Buffer.from(ca).toString('base64');
  const contexts = ports.map((port) => ({ name: `${prefix}-${port}`, port }));
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: contexts.map(({ name, port }) => ({
      name,
      cluster: { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': data },
    })),
    users: contexts.map(({ name }) => ({ name, user: { token: `token-of-${name}` } })),
    contexts: contexts.map(({ name }) => ({ name, context: { cluster: name, user: name } })),
  });
}

/** Starts stand-in clusters in a child process. */
export async function startStandIns(answering: number, silent: number) {
  const words = [fileURLToPath(new URL('stand-ins.ts', import.meta.url)), String(answering), String(silent)];
  const { child, stop } = spawnNode(words, { stdout: 'pipe' });
  if (!child.stdout) throw new Error('stdout is not a pipe');
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { standIns: JSON.parse(String(line)) as StandIns, stop };
}
