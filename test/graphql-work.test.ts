import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { yieldWhenBusy } from '../src/event-loop.ts';
import { MAX_STEPS } from '../src/graphql/work.ts';
import { CostBudget } from '../src/server/cost-budget.ts';
import { SqliteConnection } from '../src/storage/sqlite/connection.ts';
import { startApp, type TestApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';
import { describeOnSqlite } from './support/database.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';

vi.mock('../src/event-loop.ts', async (original) => {
  const eventLoop = await original<typeof import('../src/event-loop.ts')>();
  return { ...eventLoop, yieldWhenBusy: vi.fn(eventLoop.yieldWhenBusy) };
});

const CLUSTERS = 10_000;
const RECORDS = 200_000;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ GRAPHQL_COST_PER_MINUTE: '0' });
  const { database } = app.domain;
  for (let begin = 0; begin < CLUSTERS; begin += 1_000)
    await database.write('registry', (tx) =>
      tx.cluster.createMany({ data: Array.from({ length: 1_000 }, (_, index) => clusterRow(`c${begin + index}`)) }),
    );
  await database.prisma.$executeRawUnsafe(`INSERT INTO "AuditRecord" ("at", "actor", "action", "clusterName", "changes")
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${RECORDS})
    SELECT ${database.kind === 'sqlite' ? "'2026-01-01T00:00:00.000+00:00', 'x', 'cluster.update', 'c' || n, '{}'" : "now(), 'x', 'cluster.update', 'c' || n, '{}'::jsonb"} FROM numbers`);
  // Warm up: the keys are read only once.
  await app.graphql('{ viewer { name } }');
}, atLoad(60_000));
afterAll(() => app.close());
afterEach(() => vi.restoreAllMocks());

const repeat = (times: number, write: (index: number) => string) =>
  Array.from({ length: times }, (_, index) => write(index)).join(' ');
const selector = (requirements: number) => repeat(requirements, (index) => `!k${index}`).replaceAll(' ', ',');

/** Executes a document and returns its error and the number of SQL statements. */
async function runDocument(document: string, variables: object = {}) {
  // Warm up: sizes are counted once for all documents.
  await app.domain.sizes.of(await app.domain.database.counters());
  const queries = vi.spyOn(SqliteConnection.prototype, 'queryRaw');
  const { errors } = await app.graphql(document, variables);
  const statements = queries.mock.calls.length;
  queries.mockRestore();
  return { code: errors?.[0].extensions.code, message: errors?.[0].message, statements };
}

const FILTERED =
  'query ($filter: ClusterFilter) { clusters(first: 1, filter: $filter) { totalCount stateCounts { count } } }';

describe('a document that needs too much database work', () => {
  const cases: [what: string, document: string, variables: object][] = [
    ['tests a label selector of 100 requirements', FILTERED, { filter: { labelSelector: selector(100) } }],
    [
      'tests a label selector of 20 requirements, for the page alone',
      '{ clusters(first: 1, filter: { labelSelector: "SELECTOR" }) { nodes { name } } }'.replace(
        'SELECTOR',
        selector(20),
      ),
      {},
    ],
    [
      'tests one requirement under 30 aliases',
      `{ ${repeat(30, (i) => `a${i}: clusters(first: 1, filter: { labelSelector: "!k" }) { nodes { name } }`)} }`,
      {},
    ],
    [
      'counts the same clusters under many aliases of the count',
      `{ clusters(first: 1, filter: { labelSelector: "!k" }) { ${repeat(40, (i) => `a${i}: totalCount`)} } }`,
      {},
    ],
    [
      'hides its counts in fragments',
      `{ ...A } fragment A on Query { clusters(first: 1, filter: { labelSelector: "${selector(4)}" }) { ... { a: totalCount ...B } } }
       fragment B on ClusterConnection { ${repeat(8, (i) => `b${i}: totalCount`)} }`,
      {},
    ],
    [
      'searches for a long text under 70 aliases',
      `{ ${repeat(70, (i) => `a${i}: clusters(first: 1, filter: { search: "${'zy'.repeat(50)}${i}" }) { totalCount }`)} }`,
      {},
    ],
    [
      'names 1,000 clusters under 60 aliases',
      `query ($filter: ClusterFilter) { ${repeat(60, (i) => `a${i}: clusters(first: 1, filter: $filter) { totalCount }`)} }`,
      { filter: { names: Array.from({ length: 1_000 }, (_, index) => `c${index}`) } },
    ],
    [
      'counts audit records of a cluster under 60 aliases',
      `{ ${repeat(60, (i) => `a${i}: auditLog(first: 1, filter: { cluster: { name: "c${i}" } }) { totalCount }`)} }`,
      {},
    ],
    [
      'looks for an action without records under 60 aliases',
      `{ ${repeat(60, (i) => `a${i}: auditLog(first: 1, filter: { action: "x${i}" }) { edges { cursor } }`)} }`,
      {},
    ],
  ];

  it.each(cases)('rejects, before execution, a document that %s', async (_, document, variables) => {
    expect(await runDocument(document, variables)).toMatchObject({ code: 'TOO_COSTLY', statements: 0 });
  });

  it('the error names the most expensive part and the limit', async () => {
    const { message } = await runDocument(FILTERED, { filter: { labelSelector: selector(100) } });
    expect(message).toContain('testing 10,000 clusters against a filter, 3 times');
    expect(message).toContain(`the maximum is ${MAX_STEPS.toLocaleString('en')}`);
  });

  it('rejects a subscription whose filter is too expensive for every change', async () => {
    const response = await fetch(`${app.url}/graphql`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream', Authorization: app.admin },
      body: JSON.stringify({
        query: 'subscription ($filter: ClusterFilter) { clusterChanged(filter: $filter) { __typename } }',
        variables: { filter: { labelSelector: selector(100) } },
      }),
    });
    expect(await response.text()).toContain('TOO_COSTLY');
  });
});

describe('a document rejected as TOO_COSTLY', () => {
  it.each([
    ['for its steps', FILTERED, { filter: { labelSelector: selector(100) } }, 10_000],
    [
      'for its complexity',
      `{ ${repeat(2, (i) => `a${i}: clusters(first: 100) { nodes { ${repeat(60, (j) => `b${j}: name`)} } }`)} }`,
      {},
      10_000,
    ],
    ['for its introspections', `{ __schema { types { fields { ${'a'.repeat(10_000)}: name } } } }`, {}, 40_000],
    ['for its validation', `{ viewer { ${'name '.repeat(150)} } }`, {}, 5 * 150],
  ])(
    'a rejected document is charged each time and gets status 400 if it is rejected %s',
    async (_, document, variables, least) => {
      const charged: number[] = [];
      const take = vi.spyOn(CostBudget.prototype, 'take');
      for (let asked = 0; asked < 2; asked++) {
        take.mockClear();
        const response = await fetch(`${app.url}/graphql`, {
          method: 'POST',
          headers: {
            'Content-Type': 'application/json',
            Accept: 'application/graphql-response+json',
            Authorization: app.admin,
          },
          body: JSON.stringify({ query: document, variables }),
        });
        expect([response.status, (await response.json()).errors[0].extensions.code]).toEqual([400, 'TOO_COSTLY']);
        charged.push(take.mock.calls.reduce((sum, [, cost]) => sum + cost, 0));
      }
      for (const cost of charged) expect(cost).toBeGreaterThanOrEqual(least);
    },
  );

  it('work includes the roles listed under many aliases', async () => {
    const data = Array.from({ length: 1_000 }, (_, index) => ({
      ...{ name: `role-${index}`, description: '', actions: [], createdAt: new Date() },
    }));
    await app.domain.database.write('access', (tx) => tx.role.createMany({ data }));
    onTestFinished(async () => {
      await app.domain.database.write('access', (tx) => tx.role.deleteMany());
    });
    const { code, message } = await runDocument(`{ ${repeat(13, (i) => `a${i}: roles { name }`)} }`);
    expect(code).toBe('TOO_COSTLY');
    expect(message).toContain('listing 1,000 roles');
  });
});

describe('a document within the limits', () => {
  it.each([
    ['five requirements with both counts', FILTERED, { filter: { labelSelector: selector(5) } }],
    ['a search with both counts', FILTERED, { filter: { search: 'production europe west' } }],
    ['1,000 names with both counts', FILTERED, { filter: { names: Array.from({ length: 1_000 }, (_, i) => `c${i}`) } }],
    ['the counts of all clusters', '{ clusters(first: 100) { nodes { name } totalCount stateCounts { count } } }', {}],
    [
      'the audit log by actor and action',
      '{ auditLog(filter: { actor: "x", action: "y" }) { totalCount edges { cursor } } }',
      {},
    ],
    [
      'what @skip leaves of it',
      `query ($no: Boolean = true) { clusters(first: 1, filter: { labelSelector: "${selector(100)}" }) @skip(if: $no) { totalCount } viewer { name } }`,
      {},
    ],
  ])('accepts %s', async (_, document, variables) => {
    expect(await runDocument(document, variables)).toMatchObject({ code: undefined });
  });

  it('the work of a document is charged to the budget each time', async () => {
    const thrifty = await startApp({ GRAPHQL_COST_PER_MINUTE: '60000' });
    try {
      await thrifty.domain.database.write('registry', (tx) =>
        tx.cluster.createMany({ data: Array.from({ length: 2_000 }, (_, index) => clusterRow(`c${index}`)) }),
      );
      const statuses: number[] = [];
      for (let asked = 0; asked < 5; asked++)
        statuses.push((await thrifty.graphql(FILTERED, { filter: { labelSelector: selector(5) } })).status);
      // Work per request: 2,000 clusters × 7.4 steps × 3 times, at 1 cost unit per two steps: 22,000.
      expect(statuses).toEqual([200, 200, 429, 429, 429]);
    } finally {
      await thrifty.close();
    }
  });
});

describeOnSqlite('the audit log of one cluster', () => {
  it('the audit log of one cluster is read by an index, for every way to name the cluster', async () => {
    for (const column of ['clusterName', 'clusterId']) {
      const plan = await app.domain.database.prisma.$queryRawUnsafe<{ detail: string }[]>(
        `EXPLAIN QUERY PLAN SELECT * FROM "AuditRecord" WHERE "${column}" = 'c7' ORDER BY "id" DESC LIMIT 51`,
      );
      expect(plan.map(({ detail }) => detail)).toEqual([
        `SEARCH AuditRecord USING INDEX AuditRecord_${column}_id_idx (${column}=?)`,
      ]);
    }
  });
});

describe('work on the main thread', () => {
  it('a request yields to the event loop before it is parsed, before it is executed and before each statement', async () => {
    vi.mocked(yieldWhenBusy).mockClear();
    await app.graphql('{ clusters(first: 1, filter: { labelSelector: "!fresh" }) { totalCount } }');
    expect(vi.mocked(yieldWhenBusy).mock.calls.length).toBeGreaterThanOrEqual(3);
  });
});
