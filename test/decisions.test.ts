import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system.ts';
import { schema } from '../src/graphql/schema.ts';
import { ROWS } from '../src/rest/routes.ts';
import { startApp, type TestApp } from './support/app.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { resultsOf, subscribe } from './support/wire.ts';

let app: TestApp;
let id: string;
beforeAll(async () => {
  app = await startApp();
  const { data } = await app.graphql(
    `mutation { createCluster(input: { name: "hidden", isDefault: true, verify: NONE }) {
      ... on CreateClusterSuccess { cluster { id } } } }`,
  );
  id = data.createCluster.cluster.id;
});
afterAll(() => app.close());

const nothing = (field: string, selection: string, shown: unknown) => ({
  document: `query ($id: ID!) { ${field} ${selection} cluster(by: { id: $id }) { name } }`,
  shown,
});
const forbidden = (field: string) => ({
  document: `mutation { ${field} { __typename } }`,
  shown: { __typename: 'ForbiddenError' },
});
const by = 'by: { name: "hidden" }';

/** Each root field with what it shows to one who may do nothing. A new field needs a case here. */
const CASES: Record<string, { document: string; shown: unknown }> = {
  'Query.node': nothing('node(id: $id)', '{ id }', null),
  'Query.nodes': nothing('nodes(ids: [$id])', '{ id }', [null]),
  'Query.cluster': nothing('cluster(by: { id: $id })', '{ name live { version faults { code } } }', null),
  'Query.defaultCluster': nothing('defaultCluster', '{ name }', null),
  'Query.clusters': nothing('clusters', '{ totalCount nodes { name } edges { cursor } stateCounts { count } }', {
    totalCount: 0,
    nodes: [],
    edges: [],
    stateCounts: [],
  }),
  'Query.viewer': nothing('viewer', '{ roles }', { roles: [] }),
  'Mutation.createCluster': forbidden('createCluster(input: { name: "x", credential: { inCluster: true } })'),
  'Mutation.updateCluster': forbidden(`updateCluster(input: { ${by}, description: "x" })`),
  'Mutation.deleteCluster': forbidden(`deleteCluster(input: { ${by} })`),
  'Mutation.importClusters': forbidden(
    `importClusters(input: { kubeconfig: ${JSON.stringify(kubeconfig())}, onNameTaken: UPDATE })`,
  ),
  'Mutation.testClusterConnection': forbidden(`testClusterConnection(input: { cluster: { name: "hidden" } })`),
  'Mutation.probeCluster': forbidden(`probeCluster(input: { ${by} })`),
  'Mutation.confirmClusterIdentity': forbidden(`confirmClusterIdentity(input: { ${by} })`),
};

/** Each subscription, from the first change on. */
const STREAMS: Record<string, string> = {
  'Subscription.clusterChanged': `subscription { clusterChanged(after: "${Buffer.from('0.0').toString('base64url')}") {
    __typename ... on ClusterUpserted { cluster { name } } ... on ClusterRemoved { id } } }`,
};

const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((type) =>
  Object.keys(type?.getFields() ?? {}).map((field) => `${type?.name}.${field}`),
);

describe('each root field', () => {
  it('has a case, and each case a field', () => {
    expect([...Object.keys(CASES), ...Object.keys(STREAMS)].sort()).toEqual([...roots].sort());
  });

  it.each(Object.entries(CASES))('%s shows nothing to one who may do nothing', async (name, { document, shown }) => {
    const [, field = ''] = name.split('.');
    const { data, errors } = await app.graphql(document, { id }, { Authorization: app.nobody });
    expect(errors).toBeUndefined();
    expect(data[field]).toEqual(shown);
  });

  it.each(Object.entries(CASES))('%s refuses a stranger', async (name, { document }) => {
    const [, field = ''] = name.split('.');
    const { data, errors } = await app.graphql(document, { id }, {});
    expect(data?.[field] ?? null).toBeNull();
    if (field === 'viewer') return;
    const refused = errors?.filter(({ path }) => path[0] === field).map(({ extensions }) => extensions.code);
    expect(refused).toEqual(['UNAUTHENTICATED']);
  });
});

describe('each subscription', () => {
  it.each(Object.entries(STREAMS))('%s shows nothing to one who may do nothing', async (_name, query) => {
    const { apiKeys } = app.domain;
    const caller = systemCaller('command line');
    const key = await apiKeys.create(caller, { name: 'k', roles: [] });
    const stream = await subscribe(app, query, { Authorization: key.text });
    // Whoever is nobody any more hears the end of the stream.
    await apiKeys.revoke(caller, key.id);
    expect(await resultsOf(stream)).toEqual([]);
  });

  it.each(Object.entries(STREAMS))('%s refuses a stranger', async (_name, query) => {
    const results = await resultsOf(await subscribe(app, query, {}));
    expect(results).toMatchObject([{ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] }]);
  });
});

describe('each REST row', () => {
  it.each(ROWS.map(({ method, path }) => [method.toUpperCase(), path]))(
    '%s %s refuses strangers and those who may do nothing',
    async (method = '', path = '') => {
      const ask = async (headers: Record<string, string>) =>
        (await app.rest(method, path.replace(':id', '1'), method === 'GET' ? undefined : {}, headers)).status;
      expect(await ask({})).toBe(401);
      expect(await ask({ Authorization: app.nobody })).toBe(403);
      expect([200, 400]).toContain(await ask({ Authorization: app.admin }));
    },
  );
});

it('nothing of it was done', async () => {
  const { data } = await app.graphql('{ clusters { nodes { name description isDefault } } }');
  expect(data.clusters.nodes).toEqual([{ name: 'hidden', description: '', isDefault: true }]);
});
