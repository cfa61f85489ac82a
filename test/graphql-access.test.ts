import { getIntrospectionQuery } from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../src/graphql/schema.ts';
import { startApp, type TestApp } from './support/app.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { resultsOf } from './support/wire.ts';

let app: TestApp;
let id: string;
beforeAll(async () => {
  app = await startApp();
  const { data } = await app.graphql(
    'mutation ($input: CreateClusterInput!) { createCluster(input: $input) { ... on CreateClusterSuccess { cluster { id } } } }',
    { input: { name: 'hidden', isDefault: true, credential: { kubeconfig: { text: kubeconfig() } } } },
  );
  id = data.createCluster.cluster.id;
});
afterAll(() => app.close());

const stranger = {};
const by = '{ databaseId: 1 }';
const queries: Record<string, string> = {
  node: `node(id: "x") { id }`,
  nodes: `nodes(ids: []) { id }`,
  cluster: `cluster(by: ${by}) { id }`,
  defaultCluster: 'defaultCluster { id }',
  users: 'users { username }',
  roles: 'roles { name }',
  apiKeys: 'apiKeys { name }',
  auditLog: 'auditLog(first: 0) { totalCount }',
  clusters: 'clusters(first: 0, filter: { labelSelector: "=" }) { totalCount }',
};
const mutations: Record<string, string> = {
  createCluster: 'createCluster(input: { name: "" }) { __typename ... on Error { code } }',
  updateCluster: `updateCluster(input: { by: ${by}, name: "" }) { __typename ... on Error { code } }`,
  deleteCluster: `deleteCluster(input: { by: ${by}, expectedRevision: null }) { __typename ... on Error { code } }`,
  importClusters: 'importClusters(input: { contexts: ["x"] }) { __typename ... on Error { code } }',
  testClusterConnection: `testClusterConnection(input: { cluster: ${by} }) { __typename ... on Error { code } }`,
  probeCluster: `probeCluster(input: { by: ${by} }) { __typename ... on Error { code } }`,
  createUser: 'createUser(input: { username: "" }) { __typename ... on Error { code } }',
  updateUser: 'updateUser(input: { username: "", password: "x" }) { __typename ... on Error { code } }',
  deleteUser: 'deleteUser(input: { username: "" }) { __typename ... on Error { code } }',
  changePassword: 'changePassword(input: { oldPassword: "", newPassword: "" }) { __typename ... on Error { code } }',
  defineRole: 'defineRole(input: { name: "", actions: [] }) { __typename ... on Error { code } }',
  deleteRole: 'deleteRole(input: { name: "" }) { __typename ... on Error { code } }',
  createApiKey: 'createApiKey(input: { name: "", roles: ["none"] }) { __typename ... on Error { code } }',
  confirmClusterIdentity: `confirmClusterIdentity(input: { by: ${by}, expectedRevision: null }) { __typename ... on Error { code } }`,
};

it('every root field except viewer and revokeApiKey, which need no permission, is tested here', () => {
  const fieldsOf = (type: typeof schema extends { getQueryType(): infer Type } ? Type : never) =>
    Object.keys(type?.getFields() ?? {}).sort();
  expect(fieldsOf(schema.getQueryType())).toEqual([...Object.keys(queries), 'viewer'].sort());
  expect(fieldsOf(schema.getMutationType())).toEqual([...Object.keys(mutations), 'revokeApiKey'].sort());
});

describe('an anonymous GraphQL caller', () => {
  it('rejects an anonymous caller before coercing variables, also in a subscription', async () => {
    const filter = { names: Array.from({ length: 3_000 }, () => 1) };
    for (const document of [
      'query ($filter: ClusterFilter) { clusters(filter: $filter) { totalCount } }',
      'mutation ($filter: CreateClusterInput!) { createCluster(input: $filter) { __typename } }',
    ])
      expect(await app.graphql(document, { filter }, stranger)).toMatchObject({
        ...{ data: null, errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] },
      });
    const response = await fetch(`${app.url}/graphql`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream' },
      body: JSON.stringify({
        query: 'subscription ($filter: ClusterFilter) { clusterChanged(filter: $filter) { __typename } }',
        variables: { filter },
      }),
    });
    expect(await resultsOf(response)).toMatchObject([{ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] }]);
  });

  it('an anonymous caller may read the schema and has no viewer', async () => {
    const { data, errors } = await app.graphql(getIntrospectionQuery(), {}, stranger);
    expect(errors).toBeUndefined();
    expect(data.__schema.types.length).toBeGreaterThan(30);
    expect(await app.graphql('{ __typename viewer { name } }', {}, stranger)).toMatchObject({
      ...{ status: 200, data: { __typename: 'Query', viewer: null } },
    });
  });

  it.each([
    ...Object.entries(queries).map(([name, field]) => [name, `query { ${field} }`]),
    ...Object.entries(mutations).map(([name, field]) => [name, `mutation { ${field} }`]),
  ])('an anonymous caller gets UNAUTHENTICATED from %s, even if the input is invalid', async (name, document) => {
    const { data, errors } = await app.graphql(document ?? '', {}, stranger);
    expect(data?.[name ?? ''] ?? null).toBeNull();
    expect(errors?.map(({ extensions, path }) => [extensions, path])).toEqual([[{ code: 'UNAUTHENTICATED' }, [name]]]);
  });

  it('an anonymous caller gets UNAUTHENTICATED for more than a hundred ids', async () => {
    const document = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }';
    const { errors } = await app.graphql(document, { ids: Array(101).fill(id) }, stranger);
    expect(errors?.[0].extensions.code).toBe('UNAUTHENTICATED');
  });

  it('anonymous requests change nothing', async () => {
    expect((await app.graphql('{ clusters { totalCount } }')).data.clusters.totalCount).toBe(1);
    expect(await app.domain.database.prisma.cluster.findFirst({ select: { name: true, revision: true } })).toEqual({
      ...{ name: 'hidden', revision: 1 },
    });
  });
});

describe('wrong credentials', () => {
  it('wrong credentials get 401, even where an anonymous caller gets a result', async () => {
    const last = app.admin.endsWith('A') ? 'B' : 'A';
    for (const key of ['kite1-', 'kite1', `${app.admin.slice(0, -1)}${last}`, 'kite99-x', `kite0${app.admin.slice(4)}`])
      for (const authorization of [key, `Bearer ${key}`]) {
        const { status, data, errors } = await app.graphql('{ viewer { name } }', {}, { Authorization: authorization });
        expect([authorization, status, data, errors?.[0].extensions]).toEqual([
          ...[authorization, 401, undefined, { code: 'UNAUTHENTICATED' }],
        ]);
      }
  });
});

describe('an API key without a role', () => {
  const queryWithoutRole = async (document: string, variables: object = {}) =>
    app.graphql(document, variables, { Authorization: app.keyWithoutRole });

  it.each(Object.entries(mutations))(
    'an API key without a role gets ForbiddenError from %s, even if the input is invalid',
    async (name, field) => {
      const { data, errors } = await queryWithoutRole(`mutation { ${field} }`);
      expect(errors).toBeUndefined();
      expect(data[name]).toEqual({ __typename: 'ForbiddenError', code: 'FORBIDDEN' });
    },
  );

  it('an API key without a role cannot distinguish hidden from missing clusters', async () => {
    const document = `query ($id: ID!, $ids: [ID!]!, $uid: ClusterBy!, $databaseId: ClusterBy!, $name: ClusterBy!) {
      node(id: $id) { id } nodes(ids: $ids) { id }
      a: cluster(by: $uid) { id } b: cluster(by: $databaseId) { id } c: cluster(by: $name) { id }
      defaultCluster { id }
    }`;
    const hidden = { id, ids: [id], uid: { id }, databaseId: { databaseId: 1 }, name: { name: 'hidden' } };
    const missing = { id: 'x', ids: ['x'], uid: { id: 'x' }, databaseId: { databaseId: 9 }, name: { name: 'missing' } };
    const nothing = { node: null, nodes: [null], a: null, b: null, c: null, defaultCluster: null };
    for (const variables of [hidden, missing]) {
      const { data, errors } = await queryWithoutRole(document, variables);
      expect([errors, data]).toEqual([undefined, nothing]);
    }
  });

  it('an API key without a role sees an empty registry, and no trace of changes in it', async () => {
    const document = `{ clusters { edges { cursor } nodes { id } totalCount stateCounts { count } changesCursor
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`;
    const before = await queryWithoutRole(document);
    expect(before.data.clusters).toMatchObject({ edges: [], nodes: [], totalCount: 0, stateCounts: [] });
    await app.graphql('mutation { updateCluster(input: { by: { databaseId: 1 }, description: "x" }) { __typename } }');
    const after = await queryWithoutRole(document);
    expect(after.data).toEqual(before.data);
    expect(after.headers.get('etag')).toBe(before.headers.get('etag'));
    const cursor = Buffer.from('["DATABASE_ID",5,5]').toString('base64url');
    const behind = await queryWithoutRole(
      `{ clusters(first: 1, after: "${cursor}") { pageInfo { hasPreviousPage } } }`,
    );
    expect(behind.data.clusters.pageInfo.hasPreviousPage).toBe(false);
  });
});
