import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { schema } from '../src/graphql/schema.ts';
import { ROWS } from '../src/rest/routes.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
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

/** Each root field, and its result for a caller without permissions. A new field needs a case here. */
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
  'Query.users': nothing('users', '{ username }', []),
  'Query.roles': nothing('roles', '{ name }', []),
  'Query.apiKeys': nothing('apiKeys', '{ name }', []),
  'Query.auditLog': nothing('auditLog', '{ totalCount nodes { action } edges { cursor } }', {
    totalCount: 0,
    nodes: [],
    edges: [],
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
  'Mutation.createUser': forbidden('createUser(input: { username: "x", roles: ["admin"] })'),
  'Mutation.updateUser': forbidden('updateUser(input: { username: "x", disabled: true })'),
  'Mutation.deleteUser': forbidden('deleteUser(input: { username: "x" })'),
  'Mutation.changePassword': forbidden('changePassword(input: { oldPassword: "x", newPassword: "y" })'),
  'Mutation.defineRole': forbidden('defineRole(input: { name: "admin", actions: [CLUSTERS_READ] })'),
  'Mutation.deleteRole': forbidden('deleteRole(input: { name: "viewer" })'),
  'Mutation.createApiKey': forbidden('createApiKey(input: { name: "x", roles: ["admin"] })'),
  'Mutation.revokeApiKey': {
    document: 'mutation { revokeApiKey(input: { databaseId: 1 }) { __typename } }',
    shown: { __typename: 'NotFoundError' },
  },
  'Mutation.confirmClusterIdentity': forbidden(`confirmClusterIdentity(input: { ${by} })`),
};

/** All subscriptions. */
const STREAMS: Record<string, string> = {
  'Subscription.clusterChanged': `subscription { clusterChanged {
    __typename ... on ClusterUpserted { cluster { name } } ... on ClusterRemoved { id } } }`,
};

const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((type) =>
  Object.keys(type?.getFields() ?? {}).map((field) => `${type?.name}.${field}`),
);

describe('root fields', () => {
  it('every root field has a case', () => {
    expect([...Object.keys(CASES), ...Object.keys(STREAMS)].sort()).toEqual([...roots].sort());
  });

  it.each(Object.entries(CASES))(
    '%s reveals nothing to a caller without permissions',
    async (name, { document, shown }) => {
      const [, field = ''] = name.split('.');
      const { data, errors } = await app.graphql(document, { id }, { Authorization: app.keyWithoutRole });
      expect(errors).toBeUndefined();
      expect(data[field]).toEqual(shown);
    },
  );

  it.each(Object.entries(CASES))('%s rejects an anonymous caller', async (name, { document }) => {
    const [, field = ''] = name.split('.');
    const { data, errors } = await app.graphql(document, { id }, {});
    expect(data?.[field] ?? null).toBeNull();
    if (field === 'viewer') return;
    const refused = errors?.filter(({ path }) => path[0] === field).map(({ extensions }) => extensions.code);
    expect(refused).toEqual(['UNAUTHENTICATED']);
  });
});

describe('subscriptions', () => {
  it.each(Object.entries(STREAMS))('%s sends nothing to a caller without permissions', async (_name, query) => {
    const { apiKeys } = app.domain;
    const caller = systemCaller('command line');
    const key = await apiKeys.create(caller, { name: 'k', roles: [] });
    const stream = await subscribe(app, query, { Authorization: key.text });
    await app.rest('POST', CLUSTERS, { name: 'hidden too' });
    await app.rest('DELETE', `${CLUSTERS}2`);
    // Revoking the key ends the subscription.
    await apiKeys.revoke(caller, key.id);
    expect(await resultsOf(stream)).toEqual([]);
  });

  it.each(Object.entries(STREAMS))('%s rejects an anonymous subscriber', async (_name, query) => {
    const results = await resultsOf(await subscribe(app, query, {}));
    expect(results).toMatchObject([{ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] }]);
  });
});

describe('REST routes', () => {
  it.each(
    ROWS.map(({ method, path, access, objectKind }) => ({ method: method.toUpperCase(), path, access, objectKind })),
  )(
    '$method $path rejects anonymous callers and callers without permissions',
    async ({ method, path, access, objectKind }) => {
      const id = objectKind === 'cluster' ? '1' : '4711';
      const requestAs = async (headers: Record<string, string>) =>
        app.rest(method, path.replace(':id', id), method === 'GET' ? undefined : {}, headers);
      expect((await requestAs({})).status).toBe(401);
      const { status, body } = await requestAs({ Authorization: app.keyWithoutRole });
      expect([status, body]).toEqual(access === 'admin' ? [403, { error: 'Admin role required' }] : [200, []]);
      expect([200, 400, 404]).toContain((await requestAs({ Authorization: app.admin })).status);
    },
  );
});

it('none of the rejected requests changed the registry', async () => {
  const { data } = await app.graphql('{ clusters { nodes { name description isDefault } } }');
  expect(data.clusters.nodes).toEqual([{ name: 'hidden', description: '', isDefault: true }]);
});
