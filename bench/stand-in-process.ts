import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { spawnNode } from './process.ts';

/** Stand-ins that listen, by port, and the CA that signed for them. */
interface StandIns {
  readonly answering: readonly number[];
  readonly silent: readonly number[];
  readonly ca: string;
}

/** A kubeconfig with a context for each of these ports; its name is `prefix` and the port. */
export function kubeconfigOf(ports: readonly number[], { ca, prefix }: { ca: string; prefix: string }): string {
  const data = Buffer.from(ca).toString('base64');
  const named = ports.map((port) => ({ name: `${prefix}-${port}`, port }));
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: named.map(({ name, port }) => ({
      name,
      cluster: { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': data },
    })),
    users: named.map(({ name }) => ({ name, user: { token: `token-of-${name}` } })),
    contexts: named.map(({ name }) => ({ name, context: { cluster: name, user: name } })),
  });
}

/** Starts stand-ins of clusters in a process of their own. */
export async function startStandIns(answering: number, silent: number) {
  const words = [fileURLToPath(new URL('stand-ins.ts', import.meta.url)), String(answering), String(silent)];
  const { child, stop } = spawnNode(words, { stdout: 'pipe' });
  if (!child.stdout) throw new Error('the stand-ins cannot be read');
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { standIns: JSON.parse(String(line)) as StandIns, stop };
}
