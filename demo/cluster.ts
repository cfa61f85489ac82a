import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Authority } from '../test/support/certificates.ts';

/** A stand-in for a Kubernetes API server that implements only the endpoints that Kitestring calls. */
export interface DemoCluster {
  readonly url: string;
  readonly close: () => void;
}

export interface DemoClusterOptions {
  readonly name: string;
  readonly version: string;
  readonly authority: Authority;
  /** The name of a readiness check that fails; absent if all succeed. */
  readonly failing?: string;
  readonly nodes?: number;
}

/** Starts a stand-in API server on a free loopback port. */
export async function startCluster(options: DemoClusterOptions): Promise<DemoCluster> {
  const { certificate, key } = options.authority.issue({ commonName: 'kube-apiserver', altNames: ['127.0.0.1'] });
  const responses = responsesOf(options);
  const server: Server = createServer(
    { cert: certificate, key, ca: options.authority.certificate, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const [path = ''] = (request.url ?? '').split('?');
      const [status, body] = responses.get(path) ?? [404, { kind: 'Status', status: 'Failure', code: 404 }];
      request.resume();
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      response
        .writeHead(status, { 'Content-Type': typeof body === 'string' ? 'text/plain' : 'application/json' })
        .end(text);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function responsesOf({ name, version, failing, nodes = 3 }: DemoClusterOptions): Map<string, [number, unknown]> {
  const checks = ['ping', 'log', 'etcd', 'informer-sync'].map(
    (check) => `[${check === failing ? '-' : '+'}]${check} ${check === failing ? 'failed: reason withheld' : 'ok'}`,
  );
  const listOf = (kind: string, names: string[], fieldsOf: (name: string) => object) => ({
    kind: `${kind}List`,
    items: names.map((item) => ({
      metadata: { name: item, namespace: 'default', uid: randomUUID() },
      ...fieldsOf(item),
    })),
  });
  const node = () => ({
    status: {
      capacity: { cpu: '8', memory: '32Gi', pods: '110' },
      nodeInfo: { kubeletVersion: version },
      conditions: [
        { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' },
      ],
    },
  });
  const nodeNames = Array.from({ length: nodes }, (_, index) => `${name}-node-${index + 1}`);
  const resources = [
    { name: 'pods', kind: 'Pod', namespaced: true, verbs: ['list'] },
    { name: 'nodes', kind: 'Node', namespaced: false, verbs: ['list'] },
  ];
  const apps = [{ name: 'deployments', kind: 'Deployment', namespaced: true, verbs: ['list'] }];
  const prometheus = {
    metadata: { name: 'prometheus', namespace: 'monitoring' },
    spec: { ports: [{ name: 'web', port: 9090 }] },
  };
  return new Map<string, [number, unknown]>([
    ['/readyz', [failing ? 500 : 200, `${checks.join('\n')}\n`]],
    ['/version', [200, { gitVersion: version }]],
    [
      '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      [201, { kind: 'SelfSubjectReview', status: { userInfo: { username: 'demo' } } }],
    ],
    [
      '/api/v1/namespaces/kube-system',
      [200, { kind: 'Namespace', metadata: { name: 'kube-system', uid: randomUUID() } }],
    ],
    ['/api/v1/nodes', [200, listOf('Node', nodeNames, node)]],
    [
      '/api/v1/namespaces',
      [200, listOf('Namespace', ['default', 'kube-system', 'monitoring'], () => ({ status: { phase: 'Active' } }))],
    ],
    ['/api/v1/services', [200, { kind: 'ServiceList', items: [prometheus] }]],
    ['/api/v1/pods', [200, listOf('Pod', ['web-1', 'web-2', 'worker-1'], () => ({ status: { phase: 'Running' } }))]],
    ['/api/v1', [200, { kind: 'APIResourceList', resources }]],
    ['/apis/apps/v1/deployments', [200, listOf('Deployment', ['web', 'worker'], () => ({ spec: { replicas: 2 } }))]],
    ['/apis/apps/v1', [200, { kind: 'APIResourceList', resources: apps }]],
  ]);
}
