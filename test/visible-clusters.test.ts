import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { SqliteConnection } from '../src/storage/sqlite/connection.ts';
import { startApp, type TestApp } from './support/app.ts';
import { describeFile } from './support/database.ts';
import { follow } from './support/followed-changes.ts';
import { defineRole, keyWith } from './support/people.ts';
import { clusterRow } from './support/rows.ts';

const CLUSTERS = 2_000;
const VISIBLE = CLUSTERS / 2;

let app: TestApp;
let keys: { Authorization: string }[];
beforeAll(async () => {
  app = await startApp({ GRAPHQL_COST_PER_MINUTE: '0' });
  await app.domain.database.write('registry', (tx) =>
    tx.cluster.createMany({
      data: Array.from({ length: CLUSTERS }, (_, index) => clusterRow(`${index % 2 ? 'mine' : 'other'}-${index}`)),
    }),
  );
  const names = ['mine-*', ...Array.from({ length: 99 }, (_, index) => `*a*a*a*${index}z`)];
  await defineRole(app, { name: 'globs', actions: ['clusters.read', 'clusters.live'], clusters: { names } });
  keys = await Promise.all([1, 2, 3].map(async () => (await keyWith(app, ['globs'])).headers));
}, 60_000);
afterAll(() => app.close());
afterEach(() => vi.restoreAllMocks());

/** Counts the statements that are sent to the database, and the rows that it gives, from now on. */
function countRows() {
  const queries = vi.spyOn(SqliteConnection.prototype, 'queryRaw');
  return async () => {
    const results = await Promise.all(queries.mock.results.map(({ value }) => value));
    return { statements: results.length, rows: results.reduce((sum, { rows }) => sum + rows.length, 0) };
  };
}

const update = (name: string, description: string) =>
  app.graphql('mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) { __typename } }', {
    input: { by: { name }, description },
  });
const ask = async (query: string, headers: { Authorization: string }) => {
  const { data, errors } = await app.graphql(query, {}, headers);
  expect(errors).toBeUndefined();
  return data;
};

describeFile('the clusters that a role lets see', () => {
  it('are computed once for all keys and requests under one value of the counter', async () => {
    await update('other-0', 'first');
    await app.domain.sizes.of(await app.domain.database.counters());
    const counted = countRows();
    for (const headers of keys)
      for (let index = 0; index < 5; index++)
        await ask(
          `{ cluster(by: { name: "mine-1" }) { name } a${index}: clusters(first: 1) { nodes { name } changesCursor } }`,
          headers,
        );
    const { rows } = await counted();
    // Names, rows and members once; the ids of a page for each of 15 requests.
    expect(rows).toBeLessThan(2 * CLUSTERS + VISIBLE + 15 * (CLUSTERS + 10));
  });

  it('cost a cached answer nothing', async () => {
    const [headers] = keys as [{ Authorization: string }];
    const query = '{ clusters(first: 2) { nodes { name } } }';
    for (let time = 0; time < 2; time++) await ask(query, headers);
    const counted = countRows();
    for (let time = 0; time < 10; time++) await ask(query, headers);
    expect(await counted()).toEqual({ statements: 0, rows: 0 });
  });

  it('are one grant for all who hold the role, at once when it is known', async () => {
    const counters = await app.domain.database.counters();
    const first = await app.domain.roles.grantsOf(['globs'], counters);
    const again = app.domain.roles.grantsOf(['globs', 'viewer'], counters);
    expect(again).not.toBeInstanceOf(Promise);
    expect((await again)[0]).toBe(first[0]);
  });

  it('are compared once for all streams when one cluster changes', async () => {
    const streams = await Promise.all(
      Array.from({ length: 30 }, (_, index) => follow(app, keys[index % 3] as { Authorization: string })),
    );
    await update('mine-1', 'begun');
    await expect.poll(() => streams.every(({ told }) => told().length === 1), { timeout: 20_000 }).toBe(true);
    const counted = countRows();
    await update('mine-1', 'changed');
    await expect.poll(() => streams.every(({ told }) => told().length === 2), { timeout: 20_000 }).toBe(true);
    const { rows } = await counted();
    expect(streams.flatMap(({ told }) => told())).toEqual(Array(60).fill('+mine-1'));
    // Twice where the counters moved on in between; 30 times before.
    expect(rows).toBeLessThan(2 * (2 * CLUSTERS + VISIBLE) + 30 * 5);
  });

  it('are counted and filtered as the database does it', async () => {
    const [headers] = keys as [{ Authorization: string }];
    const { clusters } = await ask(
      `{ clusters(first: 2, orderBy: { field: NAME, direction: DESC }, filter: { states: [PENDING] }) {
        nodes { name } totalCount stateCounts { state count } pageInfo { hasNextPage hasPreviousPage endCursor } } }`,
      headers,
    );
    expect(clusters).toMatchObject({
      ...{ nodes: [{ name: 'mine-999' }, { name: 'mine-997' }], totalCount: VISIBLE },
      ...{
        stateCounts: [{ state: 'PENDING', count: VISIBLE }],
        pageInfo: { hasNextPage: true, hasPreviousPage: false },
      },
    });
    const next = await ask(
      `{ clusters(first: 1, after: "${clusters.pageInfo.endCursor}", orderBy: { field: NAME, direction: DESC }) {
        nodes { name } pageInfo { hasPreviousPage } } }`,
      headers,
    );
    expect(next.clusters).toEqual({ nodes: [{ name: 'mine-995' }], pageInfo: { hasPreviousPage: true } });
  });
});
