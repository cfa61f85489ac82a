import { API_KEY } from './product.ts';
import { CLUSTERS } from './requests.ts';
import { aliases, document, hostileScenario, post, requestScenario, type Scenario } from './scenario.ts';
import { CONNECTION_SCENARIOS } from './stall-connections.ts';
import {
  configMaps,
  descriptionsOf,
  dryImport,
  hostileNames,
  introspection,
  inVariables,
  keyOfBody,
  largeKubeconfig,
  MAX_BODY,
  manyAuditRecords,
  manyKeys,
  nested,
  ofHostile,
  selectorOf,
  statesOf,
  withDescriptions,
} from './stall-documents.ts';
import { fleetScenarios } from './stall-fleets.ts';
import { seededName } from './stall-seed.ts';

/** The rows of the issue without a scenario. */
export const OMITTED_ROWS =
  'Rows 3, 13 to 17, 19 to 21 and 23 are omitted: their requests neither stall the server nor occupy its memory.';

/** Namespaces of the hostile cluster and the lists that it returns for them. */
const HOSTILE_RESPONSES = [
  ['nested', '15.8 MB of nested arrays'],
  ['objects', '1.2 million {}'],
  ['chunks', '15.8 MB in chunks of 1 byte'],
] as const;

/** All scenarios, sorted by row. */
export const SCENARIOS: readonly Scenario[] = [
  {
    row: 1,
    what: '288 kB in `states`',
    many: true,
    prepare: requestScenario(({ viewer }, n) => statesOf(viewer, 288_000, n)),
  },
  { row: 1, what: '4 MB in `states`', prepare: requestScenario(({ viewer }, n) => statesOf(viewer, 4_000_000, n)) },
  { row: 1, what: '288 kB as a key of the body', prepare: requestScenario(({ viewer }) => keyOfBody(viewer, 288_000)) },
  { row: 1, what: '4 MB as a key of the body', prepare: requestScenario(({ viewer }) => keyOfBody(viewer, 4_000_000)) },
  {
    row: 2,
    what: 'introspection of 0.9 kB, anonymous',
    many: true,
    prepare: requestScenario((_keys, n) => document(undefined, introspection(10, n))),
  },
  {
    row: 2,
    what: 'introspection of 1.5 kB, anonymous',
    prepare: requestScenario((_keys, n) => document(undefined, introspection(26, n))),
  },
  {
    row: 4,
    what: '490 × viewer { name }, anonymous',
    many: true,
    prepare: requestScenario((_keys, n) =>
      document(undefined, `{fresh${n}:__typename ${'viewer{name} '.repeat(490)}}`),
    ),
  },
  {
    row: 5,
    what: '100 label requirements',
    many: true,
    prepare: requestScenario(({ viewer }, n) => selectorOf(viewer, n)),
  },
  {
    row: 6,
    what: 'search under 70 aliases',
    many: true,
    prepare: requestScenario(({ viewer }, n) =>
      document(
        viewer,
        `{ ${aliases(70, (at) => `clusters(first: 1, filter: { search: "none ${n} ${at}" }) { totalCount stateCounts { count } }`)} }`,
      ),
    ),
  },
  {
    row: 6,
    what: 'auditLog under 60 aliases, 200,000 records',
    many: true,
    prepare: requestScenario(
      ({ reader }, n) =>
        document(
          reader,
          `{ ${aliases(60, (at) => `auditLog(first: 1, filter: { cluster: { name: "${seededName(n * 60 + at)}" } }) { totalCount }`)} }`,
        ),
      { prepare: manyAuditRecords },
    ),
  },
  {
    row: 7,
    what: 'description under 95 aliases × 100 clusters',
    many: true,
    prepare: requestScenario(({ viewer }, n) => descriptionsOf(viewer, n), withDescriptions),
  },
  {
    row: 7,
    what: 'manifest under 30 aliases × 250 objects of 60 kB',
    many: true,
    prepare: hostileScenario(1, ({ reader }, n) =>
      document(
        reader,
        ofHostile(
          'large',
          aliases(30, () => 'manifest'),
        ),
        { unused: n },
      ),
    ),
  },
  {
    row: 7,
    what: '11 clusters × 250 objects of 60 kB',
    many: true,
    prepare: hostileScenario(11, ({ reader }, n) =>
      document(
        reader,
        `{ clusters(first: 11, filter: { names: [${hostileNames}] }) { nodes { ${configMaps('large', 'manifest')} } } }`,
        { unused: n },
      ),
    ),
  },
  {
    row: 8,
    what: '4 MB of nested arrays, GraphQL',
    many: true,
    prepare: requestScenario(({ viewer }) => post('/graphql', viewer, inVariables(nested(MAX_BODY - 100)))),
  },
  {
    row: 8,
    what: '400,000 keys, GraphQL',
    many: true,
    prepare: requestScenario(({ viewer }) => post('/graphql', viewer, inVariables(manyKeys))),
  },
  {
    row: 8,
    what: '4 MB of nested arrays, REST',
    many: true,
    prepare: requestScenario(() => post(CLUSTERS, API_KEY, `{"name":${nested(MAX_BODY - 100)}}`)),
  },
  { row: 8, what: '400,000 keys, REST', many: true, prepare: requestScenario(() => post(CLUSTERS, API_KEY, manyKeys)) },
  {
    row: 9,
    what: 'a kubeconfig of 5,000 contexts',
    many: true,
    prepare: requestScenario(() => document(API_KEY, dryImport, { kubeconfig: largeKubeconfig() })),
  },
  ...HOSTILE_RESPONSES.map(([namespace, what]) => ({
    row: 9,
    what: `${what} from a cluster`,
    many: true,
    prepare: hostileScenario(1, ({ reader }, n) => document(reader, ofHostile(namespace, 'manifest'), { unused: n })),
  })),
  ...fleetScenarios(selectorOf),
  ...CONNECTION_SCENARIOS,
].sort((left, right) => left.row - right.row);
