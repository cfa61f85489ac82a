import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ACTIONS, actionName } from '../src/domain/access/action.ts';
import { schema } from '../src/graphql/schema.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { defineRole, keyWith } from './support/users.ts';

const SERVER = 'https://canary-server.internal:6443';
const IDENTITY = 'canary-identity-0001';
/** The hidden cluster, which is the default. No other value of a response contains its id. */
const HIDDEN = { id: 481_516, name: 'canary-name', apiServer: SERVER, identity: IDENTITY };
/** Values of the hidden cluster. A response may contain one only if the request did. */
let canaries: string[];

let app: TestApp;
const headers = new Map<string, { Authorization: string }>();

const keyOf = async (caller: string, roles: string[], scopes?: string[]) =>
  headers.set(caller, (await keyWith(app, roles, scopes ? { scopes } : {})).headers);

beforeAll(async () => {
  app = await startApp();
  const actions = ['clusters.read', 'clusters.live', 'clusters.update', 'clusters.delete', 'audit.read'] as const;
  await defineRole(app, { name: 'scoped', actions: [...actions], clusters: { names: ['mine'] } });
  await keyOf('a role for one other cluster', ['scoped']);
  // A key with CLUSTERS_READ is the control: its responses contain the canaries.
  for (const action of ACTIONS) await keyOf(`${actionName(action)} alone`, ['admin'], [action]);
  const without = (...missing: string[]) => ACTIONS.filter((action) => !missing.includes(action));
  await keyOf('all but CLUSTERS_READ', ['admin'], without('clusters.read'));
  await keyOf('all but CLUSTERS_READ and CLUSTERS_UPDATE', ['admin'], without('clusters.read', 'clusters.update'));
});
afterAll(() => app.close());
beforeEach(async () => {
  const at = new Date();
  const times = { createdAt: at, updatedAt: at, stateSince: at };
  await app.domain.database.write('registry', async (tx, { registry = 0 }) => {
    await tx.cluster.deleteMany();
    const facts = { state: 'READY', version: 'v1.31.0-canary', credentialKind: 'TOKEN', registryChange: registry };
    const more = { description: 'canary-description', prometheusURL: 'http://canary-prometheus:9090' };
    await tx.cluster.create({
      data: {
        ...{ ...HIDDEN, ...more, ...times, ...facts, isDefault: true, searchText: 'canary' },
        labels: { create: [{ key: 'canary-key', value: 'canary-value' }] },
      },
    });
  });
  const { uid } = await hidden();
  const id = Buffer.from(`Cluster:${uid}`).toString('base64url');
  canaries = [...[HIDDEN.name, 'canary-', SERVER, IDENTITY, String(HIDDEN.id), uid, id]];
});

const hidden = () => app.domain.database.prisma.cluster.findUniqueOrThrow({ where: { id: HIDDEN.id } });
const FIELDS = `id databaseId name description labels { key value } isDefault prometheusURL apiServer revision
  identity { state uid otherUid } status { state version error { message } } live { version }`;
const text = (server: string, name = 'x') =>
  kubeconfig({
    cluster: { server },
    root: { contexts: [{ name, context: { cluster: 'c', user: 'u' } }], 'current-context': name },
  });
const imported = (kubeconfig: string, more: object = {}) => ({ input: { kubeconfig, ...more } });

/** Mutations that could reveal the hidden cluster. Every caller sends each of them. */
const MUTATIONS: Record<string, object[]> = {
  createCluster: [
    { input: { name: 'new', verify: 'NONE', isDefault: true } },
    { input: { name: HIDDEN.name, verify: 'NONE' } },
    { input: { name: 'twin', credential: { kubeconfig: { text: text(SERVER) } } } },
  ],
  updateCluster: [
    { input: { by: { name: HIDDEN.name }, description: 'x' } },
    { input: { by: { name: HIDDEN.name }, expectedRevision: 99, description: 'x' } },
    { input: { by: { databaseId: HIDDEN.id }, isDefault: false } },
  ],
  deleteCluster: [
    { input: { by: { name: HIDDEN.name } } },
    { input: { by: { name: HIDDEN.name }, expectedRevision: 99 } },
  ],
  importClusters: [
    ...['SKIP', 'UPDATE', 'FAIL'].flatMap((onNameTaken) =>
      [true, false].map((dryRun) => imported(text('https://10.9.9.9', HIDDEN.name), { onNameTaken, dryRun })),
    ),
    imported(text(SERVER, 'twin'), { dryRun: true }),
    imported(text(SERVER, 'twin')),
    imported(text(SERVER, 'first'), { onlyIfEmpty: true }),
  ],
  testClusterConnection: [{ input: { cluster: { name: HIDDEN.name } } }],
  probeCluster: [{ input: { by: { name: HIDDEN.name } } }],
  confirmClusterIdentity: [
    { input: { by: { name: HIDDEN.name } } },
    { input: { by: { name: HIDDEN.name }, expectedRevision: 99 } },
  ],
};
/** Mutations that do not concern clusters. */
const OTHERS = [
  'createUser',
  'updateUser',
  'deleteUser',
  'changePassword',
  'defineRole',
  'deleteRole',
  'createApiKey',
  'revokeApiKey',
];

function documentOf(mutation: string): string {
  const type = schema.getMutationType()?.getFields()[mutation];
  const input = String(type?.args[0]?.type);
  const success: Record<string, string> = {
    createCluster: `... on CreateClusterSuccess { cluster { ${FIELDS} } previousDefault { ${FIELDS} } warnings { message } }`,
    updateCluster: `... on UpdateClusterSuccess { cluster { ${FIELDS} } previousDefault { ${FIELDS} } warnings { message } }
      ... on RevisionConflictError { current { ${FIELDS} } } ... on DifferentClusterError { knownUid otherUid }`,
    deleteCluster: `... on DeleteClusterSuccess { deletedId } ... on RevisionConflictError { current { ${FIELDS} } }`,
    importClusters: `... on ImportClustersSuccess { warnings { message } contexts { outcome problem cluster { ${FIELDS} } } }`,
    testClusterConnection: '... on TestConnectionSuccess { identity version }',
    probeCluster: `... on ProbeClusterSuccess { cluster { ${FIELDS} } }`,
    confirmClusterIdentity: `... on ConfirmClusterIdentitySuccess { cluster { ${FIELDS} } } ... on RevisionConflictError { current { ${FIELDS} } }`,
  };
  return `mutation ($input: ${input}) { ${mutation}(input: $input) { __typename ... on Error { code message } ${success[mutation]} } }`;
}

async function runMutation(caller: string, mutation: string, variables: object) {
  const { data, errors, ...rest } = await app.graphql(documentOf(mutation), variables, headers.get(caller));
  return { answer: data?.[mutation], raw: JSON.stringify({ data, errors, status: rest.status }) };
}

/** The canaries in a response that the request did not contain. */
const leaksOf = (raw: string, request: object) => {
  const sent = JSON.stringify(request);
  return canaries.filter((canary) => raw.includes(canary) && !sent.includes(canary));
};

it('the tests of hidden clusters cover every mutation of the schema', () => {
  const all = Object.keys(schema.getMutationType()?.getFields() ?? {});
  expect([...Object.keys(MUTATIONS), ...OTHERS].sort()).toEqual(all.sort());
});

const READS = `${actionName('clusters.read')} alone`;
const CALLERS = [
  'a role for one other cluster',
  ...ACTIONS.map((action) => `${actionName(action)} alone`),
  'all but CLUSTERS_READ',
  'all but CLUSTERS_READ and CLUSTERS_UPDATE',
];

describe.each(Object.entries(MUTATIONS))('%s and hidden clusters', (mutation, requests) => {
  it.each(CALLERS.filter((caller) => caller !== READS))(
    `${mutation} reveals nothing about a hidden cluster to a key with %s`,
    async (caller) => {
      for (const request of requests)
        expect(leaksOf((await runMutation(caller, mutation, request)).raw, request)).toEqual([]);
    },
  );

  it.each(CALLERS.filter((caller) => caller !== 'all but CLUSTERS_READ' && caller !== READS))(
    `${mutation} does not change a hidden cluster for a key with %s`,
    async (caller) => {
      const before = await hidden();
      for (const request of requests) await runMutation(caller, mutation, request);
      expect(await hidden()).toEqual(before);
    },
  );

  it.each(CALLERS.filter((caller) => caller !== READS))(
    `${mutation} treats hidden and missing clusters the same for a key with %s`,
    async (caller) => {
      const byName = requests.filter((request) => /"(by|cluster)":\{"name"/.test(JSON.stringify(request)));
      for (const request of byName) {
        const missing = JSON.parse(JSON.stringify(request).replace(HIDDEN.name, 'missing-cl'));
        expect((await runMutation(caller, mutation, request)).raw).toBe(
          (await runMutation(caller, mutation, missing)).raw,
        );
      }
    },
  );
});

describe('the default of a hidden cluster', () => {
  const create = (caller: string) =>
    runMutation(caller, 'createCluster', { input: { name: 'new', verify: 'NONE', isDefault: true } });

  it('createCluster cannot take the default from a hidden cluster without permission to update that cluster', async () => {
    const { answer } = await create('CLUSTERS_CREATE alone');
    expect(answer).toMatchObject({ code: 'FORBIDDEN', message: expect.stringMatching(/^isDefault: .*omit isDefault/) });
    expect(await app.domain.database.prisma.cluster.count()).toBe(1);
  });

  it('createCluster takes the default with permission to update the hidden cluster, which stays hidden', async () => {
    const { answer } = await create('all but CLUSTERS_READ');
    expect(answer).toMatchObject({ cluster: { name: 'new', isDefault: true }, previousDefault: null });
    expect((await hidden()).isDefault).toBe(false);
  });

  it('createCluster may set the default if no cluster is the default', async () => {
    await app.domain.database.write('registry', (tx) => tx.cluster.deleteMany());
    expect((await create('CLUSTERS_CREATE alone')).answer).toMatchObject({ cluster: { name: 'new', isDefault: true } });
  });

  it('the default of a hidden cluster cannot be taken over REST', async () => {
    await keyOf('REST', ['admin'], ['rest.use', 'clusters.create']);
    const { status, body } = await app.rest('POST', CLUSTERS, { name: 'new', isDefault: true }, headers.get('REST'));
    expect([status, body.error]).toEqual([403, expect.stringMatching(/^isDefault: /)]);
    expect((await app.rest('POST', CLUSTERS, { name: 'new' }, headers.get('REST'))).status).toBe(201);
  });
});

describe('importClusters and hidden clusters', () => {
  const run = async (caller: string, server: string, name: string, more: object) =>
    (await runMutation(caller, 'importClusters', imported(text(server, name), more))).answer;

  it('importClusters skips a name taken by a hidden cluster without returning it', async () => {
    const answer = await run('CLUSTERS_IMPORT alone', 'https://10.9.9.9', HIDDEN.name, { onNameTaken: 'SKIP' });
    expect(answer.contexts).toEqual([{ outcome: 'SKIPPED', problem: expect.any(String), cluster: null }]);
  });

  it('importClusters refuses to update a cluster without permission, also in a dry run', async () => {
    for (const dryRun of [true, false]) {
      const answer = await run('CLUSTERS_IMPORT alone', SERVER, HIDDEN.name, { onNameTaken: 'UPDATE', dryRun });
      expect(answer.contexts).toMatchObject([{ outcome: 'REFUSED', problem: expect.stringMatching(/may not update/) }]);
      expect(answer.warnings).toEqual([]);
    }
  });

  it('importClusters updates a cluster that the caller may update but not read, without returning it', async () => {
    const answer = await run('all but CLUSTERS_READ', 'https://10.9.9.9', HIDDEN.name, { onNameTaken: 'UPDATE' });
    expect(answer.contexts).toEqual([{ outcome: 'UPDATED', problem: null, cluster: null }]);
    expect((await hidden()).apiServer).toBe('https://10.9.9.9');
  });

  it('importClusters warns of hidden duplicates once, without name or server', async () => {
    for (const dryRun of [true, false]) {
      const answer = await run('CLUSTERS_IMPORT alone', SERVER, `twin-${dryRun}`, { dryRun });
      expect(answer.warnings).toEqual([
        { message: 'another cluster that is registered has the same API server, or is the same cluster' },
      ]);
    }
  });

  it('importClusters returns a created cluster to its creator, without live data', async () => {
    const answer = await run('CLUSTERS_IMPORT alone', 'https://10.9.9.9', 'mine too', {});
    expect(answer.contexts).toMatchObject([{ outcome: 'CREATED', cluster: { name: 'mine too', live: null } }]);
  });
});

it('an admin sees the hidden cluster, which proves that the canaries are effective', async () => {
  const { raw } = await runMutation('CLUSTERS_READ alone', 'updateCluster', { input: { by: { name: HIDDEN.name } } });
  expect(raw).toContain('FORBIDDEN');
  const admin = { Authorization: app.admin };
  headers.set('admin', admin);
  const { answer } = await runMutation('admin', 'createCluster', {
    input: { name: 'new', verify: 'NONE', isDefault: true },
  });
  expect(answer.previousDefault).toMatchObject({ name: HIDDEN.name, apiServer: SERVER });
  const twin = await runMutation('admin', 'importClusters', imported(text(SERVER, 'twin'), { dryRun: true }));
  expect(twin.answer.warnings[0].message).toContain(HIDDEN.name);
});
