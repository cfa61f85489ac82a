import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { SqliteConnection } from '../src/storage/sqlite/connection.ts';
import { startApp, type TestApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';
import { describeOnSqlite } from './support/database.ts';
import { follow } from './support/followed-changes.ts';
import { atLoad } from './support/load.ts';
import { defineRole, keyWith } from './support/users.ts';

const CLUSTERS = 2_000;
const VISIBLE = CLUSTERS / 2;

interface Page {
  readonly nodes: readonly { readonly name: string }[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
}

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
}, atLoad(60_000));
afterAll(() => app.close());
afterEach(() => vi.restoreAllMocks());

/** Starts counting the statements that are sent to the database, and the rows that it returns. */
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
const sendRequest = async (query: string, headers: { Authorization: string }) => {
  const { data, errors } = await app.graphql(query, {}, headers);
  expect(errors).toBeUndefined();
  return data;
};

describeOnSqlite('visible clusters of a role', () => {
  it('visible clusters are computed once for all keys and requests under one value of the counter', async () => {
    await update('other-0', 'first');
    await app.domain.sizes.of(await app.domain.database.counters());
    const counted = countRows();
    for (const headers of keys)
      for (let index = 0; index < 5; index++)
        await sendRequest(
          `{ cluster(by: { name: "mine-1" }) { name } a${index}: clusters(first: 1) { nodes { name } changesCursor } }`,
          headers,
        );
    const { rows } = await counted();
    // Names, rows and members once.
    expect(rows).toBeLessThan(2 * CLUSTERS + VISIBLE + 15 * 10);
  });

  it('visible clusters are not read again when the state of a cluster changes', async () => {
    const [headers] = keys as [{ Authorization: string }];
    const document = (name: string, field: string) =>
      `{ cluster(by: { name: "${name}" }) { name } clusters(first: 1) { nodes { name } ${field} } }`;
    const change = (name: string) =>
      app.domain.database.write('status', (tx, { status = 0 }) =>
        tx.cluster.update({ where: { name }, data: { statusChange: status } }),
      );
    const cursorOf = async (name: string) =>
      (await sendRequest(document(name, 'changesCursor'), headers)).clusters.changesCursor as string;
    const cursors = [await cursorOf('mine-3')];
    const counted = countRows();
    for (let time = 0; time < 10; time++) {
      await change(time % 2 ? 'mine-3' : 'other-4');
      await sendRequest(document('mine-3', '__typename'), headers);
      cursors.push(await cursorOf('mine-3'));
    }
    expect((await counted()).rows).toBeLessThan(10 * 30);
    // A change of a hidden cluster leaves the cursor unchanged.
    expect(new Set(cursors).size).toBe(6);
    expect(cursors[1]).toBe(cursors[0]);
  });

  it('listing visible clusters reads about as many rows as the pages contain', async () => {
    const [headers] = keys as [{ Authorization: string }];
    const rows = await app.domain.database.prisma.cluster.findMany({ select: { name: true }, orderBy: { id: 'asc' } });
    const clusters = rows.map(({ name }) => name).filter((name) => name.startsWith('mine'));
    for (const direction of ['ASC', 'DESC'])
      for (const [size, cursor, end, more] of [
        ['first', 'after', 'endCursor', 'hasNextPage'],
        ['last', 'before', 'startCursor', 'hasPreviousPage'],
      ] as const) {
        const counted = countRows();
        const other = more === 'hasNextPage' ? 'hasPreviousPage' : 'hasNextPage';
        const pages: string[][] = [];
        for (let at: string | null = ''; at !== null; ) {
          const place: string = at === '' ? '' : `${cursor}: "${at}",`;
          const page: Page = (
            await sendRequest(
              `{ clusters(${size}: 100, ${place} orderBy: { field: DATABASE_ID, direction: ${direction} }) {
                nodes { name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`,
              headers,
            )
          ).clusters;
          expect(page.pageInfo[other]).toBe(at !== '');
          pages.push(page.nodes.map(({ name }) => name));
          at = page.pageInfo[more] ? page.pageInfo[end] : null;
        }
        const listed = (size === 'first' ? pages : pages.reverse()).flat();
        expect(listed).toEqual(direction === 'ASC' ? clusters : clusters.toReversed());
        expect((await counted()).rows).toBeLessThan(VISIBLE + 11 * 5);
        vi.restoreAllMocks();
      }
    const counted = countRows();
    const { body } = await app.rest('GET', '/api/v1/clusters', undefined, headers);
    const names = body.map(({ name }: { name: string }) => name);
    expect(names).toEqual(clusters.toSorted());
    // The ids and the rows of the visible clusters; the last page searches the other half for more.
    expect((await counted()).rows).toBeLessThan(CLUSTERS + 2 * VISIBLE + 50);
  });

  it('visible clusters cost a cached response nothing', async () => {
    const [headers] = keys as [{ Authorization: string }];
    const query = '{ clusters(first: 2) { nodes { name } } }';
    for (let time = 0; time < 2; time++) await sendRequest(query, headers);
    const counted = countRows();
    for (let time = 0; time < 10; time++) await sendRequest(query, headers);
    expect(await counted()).toEqual({ statements: 0, rows: 0 });
  });

  it('visible clusters are read once for all audit log queries under one value of the counter, and charged for each query', async () => {
    await defineRole(app, { name: 'auditors', actions: ['audit.read'], clusters: { names: ['mine-*'] } });
    const { headers } = await keyWith(app, ['auditors']);
    await update('mine-1', 'audited');
    await sendRequest('{ auditLog(first: 1) { nodes { action } } }', headers);
    const counted = countRows();
    const aliases = Array.from({ length: 10 }, (_, index) => `a${index}: auditLog(first: 1) { nodes { action } }`);
    const { a0 } = await sendRequest(`{ ${aliases.join(' ')} }`, headers);
    expect(a0.nodes).toEqual([{ action: 'cluster.update' }]);
    expect((await counted()).rows).toBeLessThan(100);
    const tooMany = Array.from({ length: 50 }, (_, index) => `b${index}: auditLog(first: 1) { nodes { action } }`);
    const { errors } = await app.graphql(`{ ${tooMany.join(' ')} }`, {}, headers);
    expect(errors?.[0].extensions.code).toBe('TOO_COSTLY');
    expect(errors?.[0].message).toContain('among those of 2,000 clusters');
  });

  it('visible clusters are one grant for all holders of the role, shared even when it is known immediately', async () => {
    const counters = await app.domain.database.counters();
    const first = await app.domain.roles.grantsOf(['globs'], counters);
    const again = app.domain.roles.grantsOf(['globs', 'viewer'], counters);
    expect(again).not.toBeInstanceOf(Promise);
    expect((await again)[0]).toBe(first[0]);
  });

  it('visible clusters are compared once for all streams when one cluster changes', async () => {
    const streams = await Promise.all(
      Array.from({ length: 30 }, (_, index) => follow(app, keys[index % 3] as { Authorization: string })),
    );
    await update('mine-1', 'begun');
    await expect.poll(() => streams.every(({ events }) => events().length === 1), { timeout: 20_000 }).toBe(true);
    const counted = countRows();
    await update('mine-1', 'changed');
    await expect.poll(() => streams.every(({ events }) => events().length === 2), { timeout: 20_000 }).toBe(true);
    const { rows } = await counted();
    expect(streams.flatMap(({ events }) => events())).toEqual(Array(60).fill('+mine-1'));
    // Twice if the counters advanced in between; 30 times before.
    expect(rows).toBeLessThan(2 * (2 * CLUSTERS + VISIBLE) + 30 * 5);
  });

  it("visible clusters are counted and filtered by the database's own rules", async () => {
    const [headers] = keys as [{ Authorization: string }];
    const { clusters } = await sendRequest(
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
    const next = await sendRequest(
      `{ clusters(first: 1, after: "${clusters.pageInfo.endCursor}", orderBy: { field: NAME, direction: DESC }) {
        nodes { name } pageInfo { hasPreviousPage } } }`,
      headers,
    );
    expect(next.clusters).toEqual({ nodes: [{ name: 'mine-995' }], pageInfo: { hasPreviousPage: true } });
  });
});
