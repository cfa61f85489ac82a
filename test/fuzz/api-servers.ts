// Stand-in API servers. They run in their own thread, so that their large responses do not hold up the thread that
// measures.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { createAuthority } from '../support/certificates.ts';
import { HOSTILE_LISTS, sendInChunks } from '../support/hostile-lists.ts';

/**
 * Where the servers listen: the first one answers normally, the others answer as hostile servers. `ca` signed all
 * certificates.
 */
export interface ApiServers {
  readonly ports: readonly number[];
  readonly ca: string;
}

/** Starts the servers; `stop` ends their thread. */
export async function startApiServers(): Promise<ApiServers & { stop: () => Promise<unknown> }> {
  const worker = new Worker(new URL(import.meta.url));
  const [servers] = (await once(worker, 'message')) as [ApiServers];
  worker.unref();
  return { ...servers, stop: () => worker.terminate() };
}

/** Content of a Secret, and of annotations that repeat it. The product must never return any of it. */
const SECRET = 'zqsec-token-in-the-cluster';
const OBJECT_BYTES = 60_000;

function objectOf(kind: string, at: number) {
  const copy = JSON.stringify({ kind: 'Secret', data: { password: SECRET } });
  const annotations = {
    'kubectl.kubernetes.io/last-applied-configuration': copy,
    'kapp.k14s.io/original': copy,
    'kapp.k14s.io/original-diff': copy,
    'ksonnet.io/managed': copy,
    'objectset.rio.cattle.io/applied': copy,
  };
  const metadata = { name: `object-${at}`, namespace: 'default', uid: `uid-${at}` };
  if (kind === 'Secret') return { metadata: { ...metadata, annotations }, data: { password: SECRET } };
  return { metadata: { ...metadata, annotations }, spec: { text: 'x'.repeat(OBJECT_BYTES) } };
}

const KINDS: Readonly<Record<string, string>> = {
  pods: 'Pod',
  configmaps: 'ConfigMap',
  secrets: 'Secret',
  nodes: 'Node',
  namespaces: 'Namespace',
  deployments: 'Deployment',
};

function answer(path: string, limit: number): unknown {
  const [, plural = ''] = /^\/apis?\/(?:.*\/)?([a-z]+)$/.exec(path) ?? [];
  const kind = KINDS[plural];
  if (kind)
    return { kind: `${kind}List`, metadata: {}, items: Array.from({ length: limit }, (_, at) => objectOf(kind, at)) };
  if (path === '/version') return { gitVersion: 'v1.31.0' };
  if (path.endsWith('/selfsubjectreviews'))
    return { kind: 'SelfSubjectReview', status: { userInfo: { username: 'fuzz' } } };
  if (path === '/api/v1/namespaces/kube-system')
    return { kind: 'Namespace', metadata: { name: 'kube-system', uid: 'uid' } };
  if (/^\/apis?\/(apps\/)?v1$/.test(path))
    return {
      resources: Object.entries(KINDS).map(([name, one]) => ({
        name,
        kind: one,
        namespaced: one !== 'Node',
        verbs: ['list'],
      })),
    };
  return undefined;
}

/** Chunks of one byte in a response: few enough for many requests at once. */
const CHUNKS = 100_000;

/**
 * Answers a list as a hostile API server does: deeply nested, with a very large number of empty objects, or one byte at
 * a time.
 */
function answerHostile(path: string, response: ServerResponse): void {
  if (path.endsWith('/pods')) response.end(HOSTILE_LISTS.nested());
  else if (path.endsWith('/configmaps')) response.end(HOSTILE_LISTS.objects());
  else sendInChunks(response, CHUNKS);
}

async function listen(isHostile: boolean, { certificate, key }: { certificate: string; key: string }): Promise<number> {
  const server = createServer({ cert: certificate, key, keepAliveTimeout: 90_000 }, (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'https://127.0.0.1');
    request.resume();
    if (pathname === '/readyz') return response.end('[+]ping ok\nreadyz check passed\n');
    response.setHeader('Content-Type', 'application/json');
    if (isHostile && /(pods|configmaps|secrets)$/.test(pathname)) return answerHostile(pathname, response);
    const body = answer(pathname, Number(searchParams.get('limit') ?? 1));
    response.writeHead(body === undefined ? 404 : request.method === 'POST' ? 201 : 200);
    response.end(JSON.stringify(body ?? { kind: 'Status', code: 404 }));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

if (!isMainThread) {
  const authority = createAuthority('fuzz');
  const issued = authority.issue({ commonName: 'kube-apiserver', altNames: ['127.0.0.1'] });
  const ports = [await listen(false, issued), await listen(true, issued), await listen(true, issued)];
  parentPort?.postMessage({ ports, ca: authority.certificate });
}
