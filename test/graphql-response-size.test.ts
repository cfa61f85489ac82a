import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ResponseSize } from '../src/graphql/response-size.ts';
import { MemoryBudget } from '../src/server/memory-budget.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';
import { onTestFinished } from './support/running-test.ts';
import { subscribe } from './support/wire.ts';

const MIB = 1024 * 1024;
/** Number of clusters with a description of 10,000 characters each: their REST list is larger than 16 MiB. */
const CLUSTER_COUNT = 1_700;

let app: TestApp;
const fill = (to: TestApp, count: number, description: string) =>
  to.domain.database.write('registry', (tx) =>
    tx.cluster.createMany({
      data: Array.from({ length: count }, (_, index) => ({ ...clusterRow(`c${index}`), description })),
    }),
  );
beforeAll(async () => {
  app = await startApp();
  await fill(app, CLUSTER_COUNT, 'x'.repeat(10_000));
});
afterAll(() => app.close());

const repeat = (times: number, write: (index: number) => string) =>
  Array.from({ length: times }, (_, index) => write(index)).join(' ');
const aliases = (times: number, field: string) => repeat(times, (index) => `a${index}: ${field}`);
const page = (fields: string) => `{ clusters(first: 100) { nodes { ${fields} } } }`;

describe('a response larger than 16 MiB', () => {
  it.each([
    ['one field under many aliases', page(aliases(95, 'description'))],
    [
      'the same through fragments',
      `{ clusters(first: 100) { edges { node { ...F } } } } fragment F on Cluster { ${aliases(30, 'description')} }`,
    ],
    ['many pages', `{ ${repeat(30, (index) => `p${index}: clusters(first: 60) { nodes { description } }`)} }`],
    [
      'long aliases',
      `{ ${repeat(3, (index) => `p${index}: clusters(first: 100) { nodes { ...F } }`)} } fragment F on Cluster { ${repeat(10, (index) => `${'a'.repeat(6_000)}${index}: __typename`)} }`,
    ],
  ])('a response larger than 16 MiB is replaced by an error that says what to do: %s', async (_, document) => {
    const response = await fetch(`${app.url}/graphql`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: app.admin },
      body: JSON.stringify({ query: document }),
    });
    const text = await response.text();
    expect([response.status, text.length < 1_000]).toEqual([200, true]);
    expect(JSON.parse(text)).toEqual({
      data: null,
      errors: [
        {
          message: 'The response is larger than 16 MiB: request fewer fields, each field once, or smaller pages',
          extensions: { code: 'TOO_LARGE' },
        },
      ],
    });
  });

  it.each([
    ['characters that JSON escapes', '\u0001'.repeat(10_000), 4],
    ['characters of three bytes', '\u20ac'.repeat(10_000), 8],
  ])('the response size counts bytes as they are written: %s', async (_, description, times) => {
    const own = await startApp();
    onTestFinished(() => own.close());
    await fill(own, 100, description);
    const { data, errors } = await own.graphql(page(aliases(times, 'description')));
    expect([data, errors?.[0].extensions.code]).toEqual([null, 'TOO_LARGE']);
    expect((await own.graphql(page(aliases(2, 'description')))).errors).toBeUndefined();
  });

  it('the response size counts items of nested lists: labels with a long alias', async () => {
    const own = await startApp();
    onTestFinished(() => own.close());
    await fill(own, 100, '');
    const clusters = await own.domain.database.prisma.cluster.findMany({ select: { id: true } });
    await own.domain.database.write('registry', (tx) =>
      tx.clusterLabel.createMany({
        data: clusters.flatMap(({ id }) =>
          Array.from({ length: 64 }, (_, index) => ({ clusterId: id, key: `k${index}`, value: '' })),
        ),
      }),
    );
    const { data, errors } = await own.graphql(page(`labels { ${'a'.repeat(3_000)}: __typename }`));
    expect([data, errors?.[0].extensions.code]).toEqual([null, 'TOO_LARGE']);
  });

  it('a subscription event larger than 16 MiB becomes an error, and the stream continues', async () => {
    const own = await startApp();
    onTestFinished(() => own.close());
    await fill(own, 1, '\u0001'.repeat(10_000));
    const query = `subscription { clusterChanged { ... on ClusterUpserted { cluster { name ${aliases(290, 'description')} } } } }`;
    const stream = await subscribe(own, query, { Authorization: own.admin });
    const update = (changes: string) =>
      own.graphql(`mutation { updateCluster(input: { by: { databaseId: 1 }, ${changes} }) { __typename } }`);
    await update('name: "large"');
    let received = '';
    let isSmall = false;
    for await (const chunk of stream.body ?? []) {
      received += Buffer.from(chunk).toString();
      if (received.includes('"name":"small"')) break;
      if (received.includes('TOO_LARGE') && !isSmall) {
        isSmall = true;
        await update('name: "small", description: ""');
      }
    }
    expect(received.length).toBeLessThan(MIB);
    expect(received).toContain('{"data":null,"errors":[{"message":"The response is larger than 16 MiB');
  });
});

describe('a response smaller than 16 MiB', () => {
  it('a response smaller than 16 MiB is complete', async () => {
    const { data, errors } = await app.graphql(page(aliases(15, 'description')));
    expect(errors).toBeUndefined();
    expect(JSON.stringify(data).length).toBeGreaterThan(14 * MIB);
  });

  it('a response is charged by its size', async () => {
    const thrifty = await startApp({ GRAPHQL_COST_PER_MINUTE: '100000' });
    onTestFinished(() => thrifty.close());
    await fill(thrifty, 100, 'x'.repeat(10_000));
    const queryPage = (times: number, unused = 0) => thrifty.graphql(page(aliases(times, 'description')), { unused });
    const { status, data, errors } = await queryPage(15);
    expect([status, data, errors?.[0].extensions.code]).toEqual([429, null, 'RATE_LIMITED']);
  });
});

it('the REST list is not limited to 16 MiB', async () => {
  const { status, body } = await app.rest('GET', CLUSTERS);
  expect([status, body.length]).toEqual([200, CLUSTER_COUNT]);
});

describe('ResponseSize', () => {
  it('ResponseSize measures a JSON value once and counts it each time it is added', () => {
    let measured = 0;
    const toJSON = () => {
      measured++;
      return 'x'.repeat(MIB);
    };
    const manifest = { toJSON };
    const size = new ResponseSize({ charge: () => undefined, memory: new MemoryBudget().open({ viewer: null }) });
    for (let time = 0; time < 15; time++) size.addJson(manifest);
    expect([measured, size.error]).toEqual([1, undefined]);
    expect(() => size.addJson(manifest)).toThrow();
    expect(size.error?.extensions.code).toBe('TOO_LARGE');
    expect(size.signal.aborted).toBe(true);
  });

  it('ResponseSize keeps throwing after the limit is exceeded, without another charge', () => {
    const charged: number[] = [];
    const charge = (cost: number) => {
      charged.push(cost);
      return undefined;
    };
    const size = new ResponseSize({ charge, memory: new MemoryBudget().open({ viewer: null }) });
    size.add(10 * MIB);
    expect([charged, size.cost]).toEqual([[90_000], 90_000]);
    for (let time = 0; time < 3; time++) expect(() => size.add(7 * MIB)).toThrow();
    expect(charged).toHaveLength(1);
    size.renew();
    size.add(MIB);
    expect(size.error).toBeUndefined();
  });

  it("ResponseSize charges the caller's memory budget and aborts the response when none is left", () => {
    const budget = new MemoryBudget({ perCaller: 12 * MIB });
    const open = () => budget.open({ viewer: null });
    const [first, second] = [open(), open()];
    const sizeOf = (memory: ReturnType<typeof open>) => new ResponseSize({ charge: () => undefined, memory });
    sizeOf(first).add(8 * MIB);
    expect(budget.held).toBe(7 * MIB);
    const size = sizeOf(second);
    expect(() => size.add(8 * MIB)).toThrow();
    expect(size.error?.extensions).toMatchObject({ code: 'RATE_LIMITED', http: { status: 429 } });
    first.release();
    second.release();
    expect(budget.held).toBe(0);
  });
});
