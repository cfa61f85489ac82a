import type { FuzzDocument } from './documents.ts';
import type { Random } from './random.ts';
import { nameOf, SERVERS_IN_REQUESTS, serverOf } from './registry.ts';
import { clusterName, hostileText, kubeconfigOf, labelSelector } from './values.ts';

/** How often an attack repeats its most expensive part. */
const TIMES = [1, 2, 10, 30, 60, 90, 250, 490];
const repeat = (random: Random, part: string, isAliased = true): string =>
  Array.from({ length: random.pick(TIMES) }, (_, at) => (isAliased ? `a${at}: ${part}` : part)).join(' ');

const CLUSTER = 'name description apiServer labels { key value }';
const ON_ERROR = '... on Error { code message }';

type Attack = (random: Random) => { query: string; variables?: Record<string, unknown> };

/** Documents that GraphQL servers often handle badly, by the callers that can send them. Sizes and values vary. */
const ATTACKS: readonly (readonly [callers: RegExp, attacks: Readonly<Record<string, Attack>>])[] = [
  [
    /anonymous/,
    {
      'one response name': (random) => ({ query: `{ ${repeat(random, 'viewer { name }', false)} }` }),
      'schema under aliases': (random) => ({
        query: `{ __schema { types { fields { ${repeat(random, 'type { name }')} } } } }`,
      }),
      'schema under fragments': (random) => {
        const levels = 1 + random.below(6);
        const fragment = (level: number) =>
          `fragment F${level} on __Type { name a: ofType { ...F${level + 1} } b: ofType { ...F${level + 1} } }`;
        const fragments = Array.from({ length: levels }, (_, level) => fragment(level)).join(' ');
        return {
          query: `{ __schema { types { fields { type { ...F0 } } } } } ${fragments} fragment F${levels} on __Type { name description }`,
        };
      },
      'nested types': (random) => {
        const levels = 1 + random.below(4);
        return {
          query: `{ __schema { types ${'{ fields { type '.repeat(levels)} { name } ${'} }'.repeat(levels)} } }`,
        };
      },
      'types by name': (random) => ({
        query: `{ ${repeat(random, '__type(name: "Cluster") { fields { name description } }')} }`,
      }),
    },
  ],
  [
    /admin|viewer|scoped/,
    {
      'large texts': (random) => ({ query: `{ clusters(first: 100) { nodes { ${repeat(random, 'description')} } } }` }),
      'label selector': (random) => ({
        query:
          'query ($s: String) { clusters(first: 1, filter: { labelSelector: $s }) { totalCount stateCounts { state count } } }',
        variables: { s: labelSelector(random) },
      }),
      search: (random) => ({
        query: `{ ${repeat(random, 'clusters(first: 1, filter: { search: "eee" }) { totalCount }')} }`,
      }),
      'audit log': (random) => ({
        query: `query ($by: ClusterBy) { ${repeat(random, 'auditLog(first: 1, filter: { cluster: $by }) { totalCount }')} }`,
        variables: { by: { name: clusterName(random) } },
      }),
      'quoted input': (random) => ({
        query: 'query ($f: ClusterFilter) { clusters(filter: $f) { totalCount } }',
        variables: { f: { states: [hostileText(random)] } },
      }),
    },
  ],
  [
    /admin|scoped/,
    {
      manifests: (random) => {
        const resources = `resources(apiVersion: "v1", kind: "${random.pick(['Pod', 'Secret', 'ConfigMap'])}", first: 250)`;
        const list = `clusters(first: ${random.pick([1, 11, 14])}) { nodes { live { ${resources} { objects { ${repeat(random, 'manifest')} } } } } }`;
        return { query: `{ ${list} }` };
      },
      'another name': (random) => ({
        query: `mutation { updateCluster(input: { by: { name: "${nameOf(random.below(14))}" }, name: "${clusterName(random)}", isDefault: true }) {
          ... on UpdateClusterSuccess { previousDefault { ${CLUSTER} } warnings { message } } ${ON_ERROR} } }`,
      }),
    },
  ],
  [
    /clusters\.import/,
    {
      'hidden names': (random) => {
        const names = Array.from({ length: 1 + random.below(5) }, () => clusterName(random));
        const kubeconfig = kubeconfigOf(names.map((name) => [name, serverOf(random.below(SERVERS_IN_REQUESTS))]));
        const onNameTaken = random.pick(['SKIP', 'UPDATE', 'FAIL']);
        return {
          query: `mutation ($input: ImportClustersInput!) { importClusters(input: $input) { ... on ImportClustersSuccess {
            contexts { outcome problem cluster { ${CLUSTER} } } warnings { message } } ${ON_ERROR} } }`,
          variables: { input: { kubeconfig, onNameTaken, dryRun: random.chance(0.5) } },
        };
      },
    },
  ],
  [
    /clusters\.create/,
    {
      'the default': (random) => ({
        query: `mutation ($input: CreateClusterInput!) { createCluster(input: $input) { ... on CreateClusterSuccess {
          previousDefault { ${CLUSTER} } warnings { message } } ${ON_ERROR} } }`,
        variables: {
          input: {
            ...{ name: `new-${random.below(1_000)}`, isDefault: random.chance(0.7) },
            credential: { kubeconfig: { text: kubeconfigOf([['c', serverOf(random.below(SERVERS_IN_REQUESTS))]]) } },
          },
        },
      }),
    },
  ],
  [
    /access\.manage/,
    {
      'a wider key': (random) => ({
        query: `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { ... on CreateApiKeySuccess { text } ${ON_ERROR} } }`,
        variables: {
          input: { name: 'wide', roles: ['admin'], ...(random.chance(0.5) && { scopes: ['CLUSTERS_READ'] }) },
        },
      }),
    },
  ],
];

/** Returns one of the attacks that this caller can send. */
export function generateAttack(random: Random, caller: string): FuzzDocument {
  const all = ATTACKS.filter(([callers]) => callers.test(caller)).flatMap(([, attacks]) => Object.entries(attacks));
  const [about, attack] = random.pick(all);
  const { query, variables = {} } = attack(random);
  return { query, variables, about, isMutation: query.startsWith('mutation'), isSubscription: false };
}
