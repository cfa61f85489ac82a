import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.ts';

let app: TestApp;
const ids: string[] = [];
beforeAll(async () => {
  app = await startApp();
  for (const name of ['a', 'b', 'ü'])
    ids.push(
      (
        await app.graphql(
          `mutation ($name: String!) {
            createCluster(input: { name: $name, verify: NONE }) { ... on CreateClusterSuccess { cluster { id } } }
          }`,
          { name },
        )
      ).data.createCluster.cluster.id,
    );
});
afterAll(() => app.close());

const idOf = (text: string) => Buffer.from(text).toString('base64url');
const node = async (id: string) => {
  const { data, errors } = await app.graphql(
    'query ($id: ID!) { node(id: $id) { __typename id ... on Cluster { name status { state } labels { key } } } }',
    { id },
  );
  expect(errors).toBeUndefined();
  return data.node;
};
const nodes = (ids: string[]) =>
  app.graphql('query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Cluster { databaseId name } } }', { ids });

describe('node', () => {
  it('node finds a cluster by its global id', async () => {
    const status = { state: 'UNUSABLE' };
    expect(await node(ids[0] ?? '')).toEqual({ __typename: 'Cluster', id: ids[0], name: 'a', status, labels: [] });
  });

  it('node is null for a missing cluster, another type and another notation of the same id', async () => {
    const known = Buffer.from(ids[0] ?? '', 'base64url').toString();
    const uid = known.slice('Cluster:'.length);
    for (const id of [
      idOf(`Cluster:${randomUUID()}`),
      idOf(`Viewer:${uid}`),
      idOf(`ClusterCredential:${uid}`),
      idOf(`cluster:${uid}`),
      idOf(uid),
      idOf('Cluster:1'),
      idOf('Cluster:'),
      idOf(':'),
      idOf(`Cluster:${uid.toUpperCase()}`),
      `${ids[0]}=`,
      `${ids[0]}!`,
      ` ${ids[0]}`,
      uid,
      '1',
      '',
    ])
      expect([id, await node(id)]).toEqual([id, null]);
  });

  it('node is null for any other text', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.base64String(),
      fc.string({ unit: 'binary' }).map((rest) => idOf(`Cluster:${rest}`)),
    );
    await fc.assert(
      fc.asyncProperty(text, async (id) => {
        expect(await node(id)).toBeNull();
      }),
      { numRuns: 100 },
    );
  });
});

describe('nodes', () => {
  it('nodes keeps order and duplicates, and has null for missing ids', async () => {
    const [a, b, ü] = ids as [string, string, string];
    const { data } = await nodes([ü, 'junk', a, a, idOf(`Viewer:${randomUUID()}`), b]);
    expect(data.nodes.map((found: { name: string } | null) => found?.name ?? null)).toEqual([
      ...['ü', null, 'a', 'a', null, 'b'],
    ]);
    expect(data.nodes[0]).toEqual({ id: ü, databaseId: 3, name: 'ü' });
  });

  it('nodes accepts 0 to 100 ids and rejects more', async () => {
    expect((await nodes([])).data.nodes).toEqual([]);
    expect((await nodes(Array(100).fill(ids[0]))).data.nodes).toHaveLength(100);
    const { data, errors } = await nodes(Array(101).fill(ids[0]));
    expect(data).toBeNull();
    expect(errors?.[0].extensions).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['ids'] }] });
    expect((await nodes(Array(10_000).fill('x'))).errors?.[0].extensions.code).toBe('INVALID_INPUT');
  });
});

describe('viewer', () => {
  it('viewer is the API key of the request with its roles', async () => {
    const queryViewer = (key: string) => app.graphql('{ viewer { kind name roles } }', {}, { Authorization: key });
    expect((await queryViewer(app.admin)).data.viewer).toEqual({
      kind: 'API_KEY',
      name: 'test admin',
      roles: ['admin'],
    });
    expect((await queryViewer(`Bearer ${app.keyWithoutRole}`)).data.viewer).toEqual({
      kind: 'API_KEY',
      name: 'test without role',
      roles: [],
    });
  });
});

describe('cluster', () => {
  const find = async (by: object) => {
    const { data, errors } = await app.graphql('query ($by: ClusterBy!) { cluster(by: $by) { id databaseId name } }', {
      by,
    });
    return errors ? errors[0].extensions.code : data.cluster;
  };

  it('cluster finds a cluster by id, databaseId and name', async () => {
    const cluster = { id: ids[2], databaseId: 3, name: 'ü' };
    for (const by of [{ id: ids[2] }, { databaseId: 3 }, { name: 'ü' }]) expect(await find(by)).toEqual(cluster);
  });

  it('cluster is null for a missing cluster, and names are compared by bytes', async () => {
    for (const by of [
      { id: ids[2]?.toLowerCase() },
      { id: '' },
      ...[0, -1, 4, 2 ** 31 - 1].map((databaseId) => ({ databaseId })),
      ...['', 'A', 'a ', 'u\u0308', 'Ü', '%', 'a\0', '\ud800'].map((name) => ({ name })),
    ])
      expect([by, await find(by)]).toEqual([by, null]);
  });

  it('cluster requires exactly one key of the right type', async () => {
    for (const by of [
      {},
      { databaseId: 1, name: 'a' },
      { databaseId: null },
      { databaseId: 1, name: null },
      { databaseId: '1' },
      { databaseId: 2 ** 31 },
      { uid: ids[0] },
      null,
    ])
      expect([by, await find(by as object)]).toEqual([by, 'BAD_REQUEST']);
  });
});

describe('defaultCluster', () => {
  it('defaultCluster is null until a cluster is the default', async () => {
    const queryDefaultCluster = async () =>
      (await app.graphql('{ defaultCluster { name isDefault } }')).data.defaultCluster;
    expect(await queryDefaultCluster()).toBeNull();
    const setDefault = (isDefault: boolean) =>
      app.graphql(
        `mutation ($isDefault: Boolean) { updateCluster(input: { by: { name: "b" }, isDefault: $isDefault }) { __typename } }`,
        { isDefault },
      );
    await setDefault(true);
    expect(await queryDefaultCluster()).toEqual({ name: 'b', isDefault: true });
    await setDefault(false);
    expect(await queryDefaultCluster()).toBeNull();
  });
});
