import { type GraphQLObjectType, isObjectType } from 'graphql';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { schema } from '../src/graphql/schema.ts';
import { SqliteConnection } from '../src/storage/sqlite/connection.ts';
import { startApp, type TestApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';
import { describeOnSqlite } from './support/database.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
  await app.domain.database.write('registry', async (tx) => {
    const rows = await tx.cluster.createManyAndReturn({
      data: Array.from({ length: 120 }, (_, index) => ({ ...clusterRow(`c${index}`), isDefault: index === 7 })),
      select: { id: true },
    });
    await tx.clusterLabel.createMany({ data: rows.map(({ id }) => ({ clusterId: id, key: 'env', value: 'prod' })) });
  });
  // Warm up: keys are read and sizes are counted only once.
  await app.graphql('{ clusters { totalCount } }');
});
afterAll(() => app.close());
afterEach(() => vi.restoreAllMocks());

const STORED = `id databaseId name description labels { key value } enabled isDefault inCluster prometheusURL apiServer
  credential { kind expiresAt problem } revision createdAt updatedAt
  status { state since observedAt version latencyMs error { code message } }`;

/** The SQL statements outside transactions that a document executes. */
async function statements(document: string, variables: object = {}): Promise<string[]> {
  const queries = vi.spyOn(SqliteConnection.prototype, 'queryRaw');
  const { errors } = await app.graphql(document, variables);
  expect(errors).toBeUndefined();
  const sql = queries.mock.calls.map(([query]) => query.sql);
  queries.mockRestore();
  return sql;
}

describeOnSqlite('the SQL statements of a read', () => {
  const list = (fields: string) => `query ($first: Int!) { clusters(first: $first) { ${fields} } }`;

  it('a page needs one statement for clusters and one for labels, for any number of rows', async () => {
    for (const first of [1, 10, 100])
      for (const fields of [
        `nodes { ${STORED} }`,
        `edges { cursor node { ${STORED} } }`,
        `edges { node { id } } nodes { ${STORED} }`,
      ]) {
        const sql = await statements(list(fields), { first });
        expect(sql.map((text) => /FROM `main`\.`(\w+)`/.exec(text)?.[1])).toEqual(['Cluster', 'ClusterLabel']);
      }
  });

  it('a page without labels needs one statement that selects only the requested columns', async () => {
    const [sql, ...more] = await statements(list('nodes { name status { state } }'), { first: 100 });
    expect(more).toEqual([]);
    expect(sql).toContain('`stateSince`');
    for (const column of ['description', 'prometheusURL', 'credentialProblem', 'searchText', 'apiServer'])
      expect(sql).not.toContain(`\`${column}\``);
  });

  it('counts are queried only if they are selected', async () => {
    expect(await statements(list('totalCount stateCounts { state count } changesCursor'), { first: 1 })).toHaveLength(
      3,
    );
    expect(await statements(list('pageInfo { hasNextPage }'), { first: 1 })).toHaveLength(1);
  });

  it('a single cluster, a hundred nodes and the default cluster need two statements each', async () => {
    const { data } = await app.graphql('{ clusters(first: 100) { nodes { id } } }');
    const ids = data.clusters.nodes.map(({ id }: { id: string }) => id);
    expect(await statements(`{ cluster(by: { name: "c3" }) { ${STORED} } }`)).toHaveLength(2);
    expect(await statements(`{ defaultCluster { ${STORED} } }`)).toHaveLength(2);
    expect(
      await statements(`query ($id: ID!) { node(id: $id) { id ... on Cluster { ${STORED} } } }`, { id: ids[0] }),
    ).toHaveLength(2);
    expect(
      await statements(`query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Cluster { ${STORED} } } }`, { ids }),
    ).toHaveLength(2);
  });

  it('a read never selects the sealed kubeconfigs', async () => {
    for (const sql of await statements(list(`nodes { ${STORED} }`), { first: 100 }))
      expect(sql).not.toContain('ClusterCredential');
  });
});

describe('the result of a mutation', () => {
  it('the result of a mutation is read inside its transaction', async () => {
    const update = `mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) {
      ... on UpdateClusterSuccess { cluster { ${STORED} } previousDefault { ${STORED} } }
      ... on RevisionConflictError { current { ${STORED} } } } }`;
    const by = { name: 'c3' };
    expect(await statements(update, { input: { by, isDefault: true } })).toEqual([]);
    expect(await statements(update, { input: { by, name: 'c3', expectedRevision: 99 } })).toEqual([]);
  });
});

it('a column that is exposed under its own name has no resolver', () => {
  const exposed = Object.values(schema.getTypeMap()).flatMap((type) =>
    isObjectType(type)
      ? Object.values(type.getFields()).filter(({ name, extensions }) => extensions.pothosExposedField === name)
      : [],
  );
  expect(exposed.length).toBeGreaterThan(20);
  expect(exposed.filter(({ resolve }) => resolve)).toEqual([]);
});

it('a field of loaded columns does not query the database per row', () => {
  const fields = (schema.getType('Cluster') as GraphQLObjectType).getFields();
  for (const name of ['id', 'prometheusURL', 'credential', 'status'])
    expect(fields[name]?.resolve).toBe(fields[name]?.extensions.pothosOriginalResolve);
});
