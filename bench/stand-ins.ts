// Stand-in clusters in their own process: `node bench/stand-ins.ts <answering> <silent>` prints one line of JSON with
// their ports and their CA, and runs until it is stopped.
import { createServer as createTls } from 'node:https';
import { type AddressInfo, createServer as createTcp, type Server } from 'node:net';
import { createAuthority } from '../test/support/certificates.ts';

const [answering = 0, silent = 0] = process.argv.slice(2).map(Number);
// The idle timeout of connections of a Kubernetes API server (k8s.io/apiserver, IdleTimeout).
const KEEP_ALIVE_MS = 90_000;

const authority = createAuthority('bench');
const { certificate, key } = authority.issue({ commonName: 'kube-apiserver', altNames: ['127.0.0.1'] });

function responsesOf(number: number): ReadonlyMap<string, readonly [status: number, body: string]> {
  const uid = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
  return new Map([
    ['/readyz?verbose', [200, '[+]ping ok\n[+]etcd ok\nreadyz check passed\n']],
    ['/version', [200, JSON.stringify({ gitVersion: 'v1.31.0' })]],
    [
      '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      [201, JSON.stringify({ kind: 'SelfSubjectReview', status: { userInfo: { username: 'bench' } } })],
    ],
    [
      '/api/v1/namespaces/kube-system',
      [200, JSON.stringify({ kind: 'Namespace', metadata: { name: 'kube-system', uid } })],
    ],
  ]);
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const ports = { answering: [] as number[], silent: [] as number[] };
for (let number = 0; number < answering; number++) {
  const responses = responsesOf(number);
  const server = createTls({ cert: certificate, key, keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    const [status, body] = responses.get(request.url ?? '') ?? [404, '{"kind":"Status","code":404}'];
    request.resume();
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(body);
  });
  ports.answering.push(await listen(server));
}
for (let number = 0; number < silent; number++)
  ports.silent.push(await listen(createTcp((socket) => void socket.on('error', () => {}).resume())));

process.stdout.write(`${JSON.stringify({ ...ports, ca: authority.certificate })}\n`);
