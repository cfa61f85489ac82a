import { pino } from 'pino';
import { type Domain, openDomain } from '../src/app.ts';
import { readConfig } from '../src/config.ts';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { searchText } from '../src/domain/text.ts';
import { createAuthority } from '../test/support/certificates.ts';

/** The caller that fills the registry. */
export const caller = systemCaller('command line');
export const silent = pino({ level: 'silent' });

const certificate = Buffer.from(createAuthority('bench').certificate).toString('base64');

/** A kubeconfig without a reachable server or a valid credential. */
export const KUBECONFIG = `apiVersion: v1
kind: Config
current-context: bench
contexts: [{ name: bench, context: { cluster: bench, user: bench } }]
clusters: [{ name: bench, cluster: { server: "https://127.0.0.1:1", certificate-authority-data: ${certificate} } }]
users: [{ name: bench, user: { token: ${'made-up-'.repeat(40)} } }]
`;

export const nameOf = (index: number): string => `cluster-${String(index).padStart(4, '0')}`;

/** Opens the domain over a data directory, in this process. */
export function openBenchDomain(dataDir: string): Promise<Domain> {
  return openDomain(readConfig({ DATA_DIR: dataDir }), silent);
}

/** Fills a registry with clusters that are created disabled, so that Kitestring never connects to them. */
export async function seed(dataDir: string, clusters: number): Promise<void> {
  const domain = await openBenchDomain(dataDir);
  const credential = { kubeconfig: { text: KUBECONFIG } };
  for (let index = 1; index <= clusters; index++)
    await domain.clusters.create(
      caller,
      {
        ...{ name: nameOf(index), description: `staging cluster ${index}`, credential },
        ...{ prometheusURL: 'http://prometheus.monitoring.svc:9090', enabled: false, isDefault: index === 1 },
        labels: [
          { key: 'env', value: index % 2 === 0 ? 'staging' : 'production' },
          { key: 'region', value: `region-${index % 7}` },
        ],
      },
      { cluster: {} },
    );
  await domain.close();
}

/** The database rows of a large registry. The clusters are disabled, so that they are not probed. */
export function clusterRows(clusters: number, registryChange: number) {
  const at = new Date();
  const rows = Array.from({ length: clusters }, (_, index) => {
    const name = `cluster-${String(index).padStart(5, '0')}`;
    const description = `staging cluster ${index} of team ${index % 37} in region eu-west-${index % 7}`;
    return {
      ...{ name, description, searchText: searchText({ name, description }), enabled: false, registryChange },
      ...{ credentialKind: 'TOKEN', apiServer: `https://10.0.0.${index % 250}:6443` },
      state: index % 50 === 0 ? 'UNREACHABLE' : 'DISABLED',
      ...{ createdAt: new Date(at.getTime() + index), updatedAt: at, stateSince: at },
    };
  });
  const labelsOf = (index: number) => [
    { key: 'env', value: ['production', 'staging', 'development'][index % 3] as string },
    { key: 'team', value: `t${index % 37}` },
  ];
  return { rows, labelsOf };
}
