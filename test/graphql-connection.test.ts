import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
  const states = ['READY', 'READY', 'UNREACHABLE'];
  await app.domain.database.write('registry', (tx) =>
    tx.cluster.createMany({
      data: Array.from({ length: 120 }, (_, index) => ({
        ...clusterRow(`cluster-${index + 1}`),
        state: states[index % 3] ?? '',
        enabled: index % 2 === 0,
      })),
    }),
  );
});
afterAll(() => app.close());

const queryClusters = async (variables: object = {}) => {
  const { data, errors } = await app.graphql(
    `query ($first: Int, $last: Int, $after: String, $before: String, $filter: ClusterFilter, $orderBy: ClusterOrder) {
      clusters(first: $first, last: $last, after: $after, before: $before, filter: $filter, orderBy: $orderBy) {
        edges { cursor node { databaseId } }
        nodes { databaseId name }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        totalCount
        stateCounts { state count }
        changesCursor
      }
    }`,
    variables,
  );
  return { clusters: data?.clusters, refusal: errors?.[0].extensions, errors };
};
const idsOf = ({ clusters }: Awaited<ReturnType<typeof queryClusters>>): number[] =>
  clusters.nodes.map(({ databaseId }: { databaseId: number }) => databaseId);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe('a page of clusters', () => {
  it('the default page has the first fifty clusters by database id', async () => {
    const answer = await queryClusters();
    expect(idsOf(answer)).toEqual(range(1, 50));
    expect(answer.clusters.edges.map(({ node }: { node: object }) => node)).toEqual(
      range(1, 50).map((databaseId) => ({ databaseId })),
    );
    expect(answer.clusters.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: false });
  });

  it('a page has 1 to 100 rows, and other sizes are rejected, not clamped', async () => {
    expect(idsOf(await queryClusters({ first: 1 }))).toEqual([1]);
    expect(idsOf(await queryClusters({ first: 100 }))).toEqual(range(1, 100));
    expect(idsOf(await queryClusters({ last: 1 }))).toEqual([120]);
    expect(idsOf(await queryClusters({ last: 100 }))).toEqual(range(21, 120));
    for (const side of ['first', 'last'])
      for (const size of [0, -1, 101, 2 ** 31 - 1, -(2 ** 31)])
        expect((await queryClusters({ [side]: size })).refusal).toMatchObject({
          code: 'INVALID_INPUT',
          issues: [{ path: [side] }],
        });
  });

  it('rejects a page with both first and last', async () => {
    expect((await queryClusters({ first: 1, last: 1 })).refusal).toMatchObject({
      code: 'INVALID_INPUT',
      issues: [{ path: ['last'] }],
    });
    expect(idsOf(await queryClusters({ first: null, last: 2 }))).toEqual([119, 120]);
  });

  it('reports every invalid argument of a page', async () => {
    const { refusal } = await queryClusters({ first: 0, last: 101, after: 'x', before: 'y' });
    expect(refusal.issues.map(({ path }: { path: string[] }) => path[0])).toEqual([
      ...['last', 'first', 'last', 'after', 'before'],
    ]);
  });

  it('the page after the last row is empty', async () => {
    const { clusters } = await queryClusters({ last: 1 });
    const after = await queryClusters({ first: 5, after: clusters.pageInfo.endCursor });
    expect(after.clusters.edges).toEqual([]);
    expect(after.clusters.pageInfo).toEqual({
      ...{ hasNextPage: false, hasPreviousPage: true, startCursor: null, endCursor: null },
    });
  });

  it('orders cluster names by bytes', async () => {
    const { clusters } = await queryClusters({ first: 4, orderBy: { field: 'NAME' } });
    expect(clusters.nodes.map(({ name }: { name: string }) => name)).toEqual([
      ...['cluster-1', 'cluster-10', 'cluster-100', 'cluster-101'],
    ]);
  });
});

describe('cluster counts', () => {
  it('counts cover all matching clusters, not only the page', async () => {
    const { clusters } = await queryClusters({ first: 1, filter: { enabled: true } });
    expect(clusters.totalCount).toBe(60);
    expect(clusters.stateCounts).toEqual([
      { state: 'READY', count: 40 },
      { state: 'UNREACHABLE', count: 20 },
    ]);
    const none = await queryClusters({ filter: { names: [] } });
    expect([none.clusters.totalCount, none.clusters.stateCounts, none.clusters.nodes]).toEqual([0, [], []]);
  });

  it('changesCursor advances only with changes of the registry', async () => {
    const cursor = async () => (await queryClusters()).clusters.changesCursor;
    const before = await cursor();
    expect(await cursor()).toBe(before);
    await app.domain.database.write('access', async () => {});
    expect(await cursor()).toBe(before);
    await app.domain.database.write('status', async () => {});
    expect(await cursor()).not.toBe(before);
  });
});

describe('the cluster filter', () => {
  it('the conditions of a filter are combined with AND', async () => {
    expect(idsOf(await queryClusters({ filter: { states: ['UNREACHABLE'], enabled: false }, first: 3 }))).toEqual([
      6, 12, 18,
    ]);
    expect((await queryClusters({ filter: { states: ['READY', 'UNREACHABLE'] } })).clusters.totalCount).toBe(120);
    expect((await queryClusters({ filter: { states: [] } })).clusters.totalCount).toBe(0);
    expect(
      idsOf(await queryClusters({ filter: { names: ['cluster-3', 'cluster-1', 'Cluster-2', 'cluster-3'] } })),
    ).toEqual([1, 3]);
    expect(idsOf(await queryClusters({ filter: { names: ['cluster-3', 'cluster-4'], enabled: true } }))).toEqual([3]);
    expect(
      (await queryClusters({ filter: { search: null, names: null, states: null, enabled: null } })).clusters.totalCount,
    ).toBe(120);
  });

  it('a filter accepts a thousand names and a selector with thousands of values', async () => {
    const names = Array.from({ length: 1000 }, (_, index) => `cluster-${index}`);
    expect((await queryClusters({ filter: { names } })).clusters.totalCount).toBe(120);
    const labelSelector = `env notin (${Array.from({ length: 2000 }, (_, index) => `v${index}`)
      .join()
      .slice(0, 9000)})`;
    expect((await queryClusters({ filter: { names, labelSelector } })).clusters.totalCount).toBe(120);
  });

  it.each([
    ['search', 'x'.repeat(1001)],
    ['search', 'a\0'],
    ['search', '\ud800'],
    ['names', Array(1001).fill('x')],
    ['names', ['a\0']],
    ['labelSelector', '='],
  ])('rejects an invalid %s in the filter', async (field, value) => {
    const { refusal } = await queryClusters({ filter: { [field]: value } });
    expect(refusal).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['filter', field] }] });
  });
});
