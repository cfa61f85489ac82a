// A hostile API server in its own process: `node bench/hostile-cluster.ts` prints one line of JSON with its port and
// CA. Probes find it healthy. When Kitestring lists ConfigMaps, the namespace selects which malicious response it
// sends.
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createAuthority } from '../test/support/certificates.ts';
import { HOSTILE_LISTS, sendInChunks } from '../test/support/hostile-lists.ts';

const authority = createAuthority('bench');
const { certificate, key } = authority.issue({ commonName: 'kube-apiserver', altNames: ['127.0.0.1'] });

const HEALTHY: Readonly<Record<string, readonly [status: number, body: string]>> = {
  '/readyz': [200, '[+]ping ok\nreadyz check passed\n'],
  '/version': [200, '{"gitVersion":"v1.31.0"}'],
  '/apis/authentication.k8s.io/v1/selfsubjectreviews': [
    201,
    '{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"bench"}}}',
  ],
  '/api/v1': [200, '{"resources":[{"name":"configmaps","kind":"ConfigMap","namespaced":true,"verbs":["get","list"]}]}'],
};

const json = (body: Buffer) => (response: ServerResponse) =>
  void response.writeHead(200, { 'Content-Type': 'application/json' }).end(body);

const LISTS: Readonly<Record<string, (response: ServerResponse) => void>> = {
  large: json(HOSTILE_LISTS.large()),
  nested: json(HOSTILE_LISTS.nested()),
  objects: json(HOSTILE_LISTS.objects()),
  chunks: (response) => sendInChunks(response),
};

const server = createServer({ cert: certificate, key }, (request, response) => {
  const [path = ''] = (request.url ?? '').replace(/^\/c\d+/, '').split('?');
  const list = LISTS[/^\/api\/v1\/namespaces\/(\w+)\/configmaps$/.exec(path)?.[1] ?? ''];
  request.resume();
  response.on('error', () => {});
  if (list) return list(response);
  const [status, body] = HEALTHY[path] ?? [404, '{"kind":"Status","code":404}'];
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(body);
});
server.on('tlsClientError', () => {});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ port, ca: authority.certificate })}\n`);
});
