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
  it('finds a cluster by its global id', async () => {
    const status = { state: 'UNUSABLE' };
    expect(await node(ids[0] ?? '')).toEqual({ __typename: 'Cluster', id: ids[0], name: 'a', status, labels: [] });
  });

  it('is null for a cluster that is not there, another type, and the same id spelled otherwise', async () => {
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

  it('is null for any other text', async () => {
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
  it('keeps the order, repeats what is asked twice, and is null for each that is missing', async () => {
    const [a, b, ü] = ids as [string, string, string];
    const { data } = await nodes([ü, 'junk', a, a, idOf(`Viewer:${randomUUID()}`), b]);
    expect(data.nodes.map((found: { name: string } | null) => found?.name ?? null)).toEqual([
      ...['ü', null, 'a', 'a', null, 'b'],
    ]);
    expect(data.nodes[0]).toEqual({ id: ü, databaseId: 3, name: 'ü' });
  });

  it('takes none and a hundred ids, and refuses more', async () => {
    expect((await nodes([])).data.nodes).toEqual([]);
    expect((await nodes(Array(100).fill(ids[0]))).data.nodes).toHaveLength(100);
    const { data, errors } = await nodes(Array(101).fill(ids[0]));
    expect(data).toBeNull();
    expect(errors?.[0].extensions).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['ids'] }] });
    expect((await nodes(Array(10_000).fill('x'))).errors?.[0].extensions.code).toBe('INVALID_INPUT');
  });
});

describe('viewer', () => {
  it('is the API key that asks, with its roles', async () => {
    const ask = (key: string) => app.graphql('{ viewer { kind name roles } }', {}, { Authorization: key });
    expect((await ask(app.admin)).data.viewer).toEqual({ kind: 'API_KEY', name: 'test admin', roles: ['admin'] });
    expect((await ask(`Bearer ${app.nobody}`)).data.viewer).toEqual({
      kind: 'API_KEY',
      name: 'test nobody',
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

  it('is found in three ways', async () => {
    const cluster = { id: ids[2], databaseId: 3, name: 'ü' };
    for (const by of [{ id: ids[2] }, { databaseId: 3 }, { name: 'ü' }]) expect(await find(by)).toEqual(cluster);
  });

  it('is null when it is not there; names are compared byte for byte', async () => {
    for (const by of [
      { id: ids[2]?.toLowerCase() },
      { id: '' },
      ...[0, -1, 4, 2 ** 31 - 1].map((databaseId) => ({ databaseId })),
      ...['', 'A', 'a ', 'u\u0308', 'Ü', '%', 'a\0', '\ud800'].map((name) => ({ name })),
    ])
      expect([by, await find(by)]).toEqual([by, null]);
  });

  it('needs exactly one way, of its type', async () => {
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
  it('is null while no cluster is the default, then the one that is', async () => {
    const ask = async () => (await app.graphql('{ defaultCluster { name isDefault } }')).data.defaultCluster;
    expect(await ask()).toBeNull();
    const give = (isDefault: boolean) =>
      app.graphql(
        `mutation ($isDefault: Boolean) { updateCluster(input: { by: { name: "b" }, isDefault: $isDefault }) { __typename } }`,
        { isDefault },
      );
    await give(true);
    expect(await ask()).toEqual({ name: 'b', isDefault: true });
    await give(false);
    expect(await ask()).toBeNull();
  });
});
