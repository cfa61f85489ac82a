import { aliases, document, post } from './scenario.ts';
import { changeSqlite, insertSqlite, seededName } from './stall-seed.ts';

const quoted = (bytes: number) => ' cannot represent '.repeat(bytes / ' cannot represent '.length);
export const statesOf = (key: string, bytes: number, number: number) =>
  document(key, 'query ($filter: ClusterFilter) { clusters(first: 1, filter: $filter) { totalCount } }', {
    filter: { states: [quoted(bytes)] },
    unused: number,
  });
export const keyOfBody = (key: string, bytes: number) =>
  post('/graphql', key, JSON.stringify({ query: '{ __typename }', [quoted(bytes)]: 1 }));

/** An introspection query that nests fields of fields, but no list more than twice. */
export function introspection(width: number, number: number): string {
  const times = (field: string, count = width) => aliases(count, () => field);
  return `{fresh${number}:__typename __schema{types{fields{...A}}}}
    fragment A on __Field{${times('type{...B}')}}
    fragment B on __Type{${times('ofType{...C}')}}
    fragment C on __Type{name fields{name description ${times('type{name description}', 10)}}}`;
}

const selector = Array.from({ length: 100 }, (_, at) => `label-of-no-cluster-${at} notin (no-value-${at})`).join(',');
export const selectorOf = (key: string, number: number) =>
  document(
    key,
    'query ($filter: ClusterFilter) { clusters(first: 1, filter: $filter) { totalCount stateCounts { state count } } }',
    {
      filter: { labelSelector: selector },
      unused: number,
    },
  );

export const MAX_BODY = 4 * 1024 * 1024;
export const nested = (bytes: number) => '['.repeat(bytes / 2) + ']'.repeat(bytes / 2);
export const manyKeys = `{${Array.from({ length: 400_000 }, (_, at) => `"${at.toString(36)}":1`).join()}}`;
export const inVariables = (text: string) => `{"query":"{ __typename }","variables":{"x":${text}}}`;

const longDescriptions = (dataDir: string) =>
  changeSqlite(dataDir, (database) =>
    // 10,000 characters of four bytes each.
    database.prepare('UPDATE "Cluster" SET "description" = ? WHERE "id" <= 100').run('\u{1f6a2}'.repeat(10_000)),
  );
const descriptions = `{ clusters(first: 100) { nodes { ${aliases(95, () => 'description')} } } }`;
export const descriptionsOf = (key: string, number: number) => document(key, descriptions, { unused: number });
export const withDescriptions = { prepare: longDescriptions };

export const manyAuditRecords = (dataDir: string) =>
  changeSqlite(dataDir, (database) => {
    const at = new Date();
    const record = (index: number) => ({
      ...{ at, actor: 'bench', actorName: 'bench', action: 'cluster.update', changes: '{}' },
      ...{ clusterId: 1 + (index % 1_000), clusterName: seededName(index % 1_000) },
    });
    insertSqlite(
      database,
      'AuditRecord',
      Array.from({ length: 200_000 }, (_, index) => record(index)),
    );
  });

export const configMaps = (namespace: string, fields: string) =>
  `live { resources(apiVersion: "v1", kind: "ConfigMap", namespace: "${namespace}", first: 250) { objects { ${fields} } } }`;
export const ofHostile = (namespace: string, fields: string) =>
  `{ cluster(by: { name: "hostile-0" }) { ${configMaps(namespace, fields)} } }`;
export const hostileNames = Array.from({ length: 11 }, (_, index) => `"hostile-${index}"`).join();

/** A valid YAML kubeconfig of 2.4 MB. */
export function largeKubeconfig(): string {
  const each = (line: (name: string) => string) =>
    Array.from({ length: 5_000 }, (_, at) => line(`context-${at}`)).join('\n');
  return `apiVersion: v1
kind: Config
clusters:
${each((name) => `- name: ${name}\n  cluster:\n    server: https://${name}.example.com:6443`)}
users:
${each((name) => `- name: ${name}\n  user:\n    token: ${'made-up-'.repeat(30)}`)}
contexts:
${each((name) => `- name: ${name}\n  context:\n    cluster: ${name}\n    user: ${name}`)}
`;
}
export const dryImport = `mutation ($kubeconfig: String!) {
  importClusters(input: { kubeconfig: $kubeconfig, dryRun: true }) { ... on ImportClustersSuccess { createdCount } } }`;
