import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { searchText } from '../src/domain/text.ts';
import { SqliteConnection } from '../src/storage/sqlite/connection.ts';
import { startApp, type TestApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';
import { databaseOf, locationOf } from './support/database-location.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';

/** The number of clusters that are promised to be read by index. */
const CLUSTER_COUNT = 10_000;

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
  for (let from = 0; from < CLUSTER_COUNT; from += 1_000) await fill(from, 1_000);
  if (app.domain.database.kind === 'postgres') await app.domain.database.prisma.$executeRaw`ANALYZE`;
}, atLoad(120_000));
afterAll(() => app.close());

async function fill(from: number, count: number): Promise<void> {
  await app.domain.database.write('registry', async (tx) => {
    const made = await tx.cluster.createManyAndReturn({
      data: Array.from({ length: count }, (_, at) => {
        const index = from + at;
        const name = `c${String(index).padStart(5, '0')}`;
        const state = index % 500 === 0 ? 'UNREACHABLE' : 'READY';
        return { ...clusterRow(name), state, searchText: searchText({ name, description: `of team ${index % 37}` }) };
      }),
      select: { id: true },
    });
    await tx.clusterLabel.createMany({
      data: made.map(({ id }, at) => ({ clusterId: id, key: 'team', value: `t${(from + at) % 200}` })),
    });
  });
}

interface Statement {
  readonly sql: string;
  readonly values: unknown[];
}

/**
 * Returns the SQL statements that select the clusters of a document. The first row after a page shows whether there are
 * more.
 */
async function statementsOf(document: string, variables: object): Promise<Statement[]> {
  const found: Statement[] = [];
  if (app.domain.database.kind === 'sqlite') {
    const original = SqliteConnection.prototype.queryRaw;
    vi.spyOn(SqliteConnection.prototype, 'queryRaw').mockImplementation(function (this: SqliteConnection, query) {
      if (/`Cluster`.`name`.* FROM `main`.`Cluster`/.test(query.sql))
        found.push({ sql: query.sql, values: query.args });
      return original.call(this, query);
    });
  } else {
    const original = Client.prototype.query;
    vi.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...given: unknown[]) {
      const { text = '', values = [] } = given[0] as { text?: string; values?: unknown[] };
      if (/"Cluster"."name".* FROM "\w+"."Cluster"/.test(text)) found.push({ sql: text, values });
      return original.apply(this, given as never) as never;
    } as never);
  }
  onTestFinished(() => void vi.restoreAllMocks());
  const { errors } = await app.graphql(document, variables);
  vi.restoreAllMocks();
  expect(errors).toBeUndefined();
  return found;
}

/** Returns the query plan of a statement as one text. */
async function planOf({ sql, values }: Statement): Promise<string> {
  const location = locationOf(app.dataDir);
  if (location.file !== undefined) {
    const database = new DatabaseSync(location.file, { readOnly: true });
    const rows = database
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all(...values.map((value) => (value instanceof Date ? value.toISOString() : (value as string))));
    database.close();
    return rows.map(({ detail }) => detail).join('\n');
  }
  const url = new URL(databaseOf(app.dataDir).DATABASE_URL ?? '');
  url.searchParams.delete('schema');
  const client = new Client({ connectionString: url.href });
  await client.connect();
  const { rows } = await client.query(`EXPLAIN ${sql}`, values).finally(() => client.end());
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}

/** A table that is scanned or sorted as a whole for one page. */
const WHOLE = /Seq Scan on "Cluster"|USE TEMP B-TREE FOR ORDER BY/;
/** A scan in primary key order that stops at the end of the page: SQLite stores tables in that order. */
const IN_ORDER = /Cluster_pkey|(?:SCAN|SEARCH) main\.Cluster(?: USING INTEGER PRIMARY KEY.*)?$/m;

const list = (order: string) => `query ($first: Int, $after: String, $filter: ClusterFilter) {
  clusters(first: $first, after: $after, filter: $filter, orderBy: { field: ${order}, direction: ASC }) { nodes { name labels { key } } } }`;

describe(`a page of ${CLUSTER_COUNT} clusters`, () => {
  it.each([
    ['by id', 'DATABASE_ID', {}, IN_ORDER],
    ['by name', 'NAME', {}, /Cluster_name_key/],
    ['by creation', 'CREATED_AT', {}, /Cluster_createdAt_id_idx/],
    ['of a few states', 'DATABASE_ID', { states: ['UNREACHABLE'] }, /Cluster_state_idx/],
    ['of some names', 'NAME', { names: ['c00017', 'c09999'] }, /Cluster_name_key/],
    [
      'with a label',
      'DATABASE_ID',
      { labelSelector: 'team=t5' },
      /ClusterLabel_key_value_idx|sqlite_autoindex_ClusterLabel_1/,
    ],
    ['that a search finds', 'DATABASE_ID', { search: 'of team 17' }, IN_ORDER],
  ])('a page is read by an index: %s', async (_what, order, filter, index) => {
    for (const after of [null, await cursorIn(order)]) {
      const plans: string[] = [];
      for (const statement of await statementsOf(list(order), { first: 50, after, filter }))
        plans.push(await planOf(statement));
      expect(plans.join('\n')).toMatch(index);
      expect(plans.join('\n')).not.toMatch(WHOLE);
    }
  });
});

async function cursorIn(order: string): Promise<string> {
  const { data } = await app.graphql(
    `{ clusters(first: 100, orderBy: { field: ${order}, direction: ASC }) { pageInfo { endCursor } } }`,
  );
  return data.clusters.pageInfo.endCursor;
}
