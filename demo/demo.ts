// Starts Kitestring with a fleet of stand-in clusters: `npm run demo` on a free port, or `npm run demo -- 8080`.
// Everything runs in one process and listens only on loopback. The registry is temporary, and no environment variable
// is read.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { App } from '../src/app.ts';
import { readConfig } from '../src/config.ts';
import { openLog } from '../src/log.ts';
import { start } from '../src/start.ts';
import { StartupError } from '../src/storage/startup-error.ts';
import { createAuthority } from '../test/support/certificates.ts';
import { type DemoCluster, type DemoClusterOptions, startCluster } from './cluster.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const QUERIES = [
  '{ clusters { stateCounts { state count } nodes { name status { state version error { message } } } } }',
  '{ clusters(filter: { credentialExpiresWithinDays: 14 }) { nodes { name credential { kind expiresAt caExpiresAt } } } }',
  '{ defaultCluster { name live { version nodes { name ready cpu } namespaces { name } faults { path message } } } }',
  'subscription { clusterChanged { ... on ClusterUpserted { cluster { name status { state } } } } }',
];

const nextYear = { notAfter: new Date(Date.now() + 365 * DAY_MS) };
const authority = createAuthority('demo', nextYear);
const otherAuthority = createAuthority('other', nextYear);
const base64 = (text: string) => Buffer.from(text).toString('base64');

async function startStandIn(options: Omit<DemoClusterOptions, 'authority'>): Promise<DemoCluster> {
  const cluster = await startCluster({ ...options, authority });
  clusters.push(cluster);
  return cluster;
}

const folder = await mkdtemp(join(tmpdir(), 'kitestring-demo-'));
const clusters: DemoCluster[] = [];
let app: App | undefined;

let isShuttingDown = false;

async function shutDown(): Promise<void> {
  // Ctrl-C arrives twice: once from the terminal, once from npm.
  if (isShuttingDown) return;
  isShuttingDown = true;
  for (const { close } of clusters) close();
  await app?.close();
  await rm(folder, { recursive: true, force: true });
  process.exit(0);
}
process.on('SIGINT', () => void shutDown()).on('SIGTERM', () => void shutDown());

const secret = randomBytes(32).toString('base64url');
const port = process.argv[2] ?? '0';
try {
  const config = readConfig({ DATA_DIR: folder, PORT: port, METRICS_PORT: '0', ADMIN_API_KEY: `kite1-${secret}` });
  app = await start(config, await openLog({ level: 'warn', pretty: true }), { terminal: false });
} catch (error) {
  await rm(folder, { recursive: true, force: true });
  if (!(error instanceof StartupError)) throw error;
  console.error(`${error.message} To choose another port: npm run demo -- 8081`);
  process.exit(1);
}

const running = {
  'production-eu': await startStandIn({ name: 'production-eu', version: 'v1.34.2', nodes: 5 }),
  'production-us': await startStandIn({ name: 'production-us', version: 'v1.33.6' }),
  staging: await startStandIn({ name: 'staging', version: 'v1.34.2', failing: 'etcd' }),
  'edge-berlin': await startStandIn({ name: 'edge-berlin', version: 'v1.32.1' }),
  lab: await startStandIn({ name: 'lab', version: 'v1.31.0' }),
  legacy: await startStandIn({ name: 'legacy', version: 'v1.29.9', nodes: 1 }),
};
running['edge-berlin'].close();

const expiring = authority.issue({ commonName: 'admin', client: true, notAfter: new Date(Date.now() + 5 * DAY_MS) });
const users: Record<string, object> = {
  legacy: { 'client-certificate-data': base64(expiring.certificate), 'client-key-data': base64(expiring.key) },
};
const kubeconfig = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Config',
  'current-context': 'production-eu',
  clusters: Object.entries(running).map(([name, { url }]) => {
    const ca = name === 'lab' ? otherAuthority.certificate : authority.certificate;
    return { name, cluster: { server: url, 'certificate-authority-data': base64(ca) } };
  }),
  users: Object.keys(running).map((name) => ({
    name,
    user: users[name] ?? { token: randomBytes(16).toString('hex') },
  })),
  contexts: Object.keys(running).map((name) => ({ name, context: { cluster: name, user: name } })),
});
const response = await fetch(`${app.url}/api/v1/admin/clusters/import`, {
  method: 'POST',
  headers: { Authorization: `kite1-${secret}` },
  body: JSON.stringify({ config: kubeconfig }),
});
if (response.status !== 201) throw new Error(`the import answered ${response.status}: ${await response.text()}`);

console.log(`
  A fleet of ${Object.keys(running).length} clusters: one is down, one presents a certificate of another CA, one is not ready, and the credential of one expires soon.

  GraphiQL   ${app.url}/graphql
  API key    kite1-${secret}

  Try:
${QUERIES.map((query) => `    ${query}`).join('\n')}

  Press Ctrl-C to stop. All data is then deleted.
`);
