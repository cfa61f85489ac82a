import { getOperationAST, getVariableValues, parse } from 'graphql';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { quotableVariables } from '../src/graphql/quotable.ts';
import { schema } from '../src/graphql/schema.ts';
import { CostBudget } from '../src/server/cost-budget.ts';
import { startApp, type TestApp } from './support/app.ts';

const MIB = 1024 * 1024;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ GRAPHQL_COST_PER_MINUTE: '0' });
});
afterAll(() => app.close());
afterEach(() => vi.restoreAllMocks());

const repeat = (times: number, write: (index: number) => string) =>
  Array.from({ length: times }, (_, index) => write(index)).join(' ');
const text = (mib: number) => 'x'.repeat(mib * MIB);
const aliases = (times: number) =>
  `query ($by: ClusterBy!) { ${repeat(times, (index) => `a${index}: cluster(by: $by) { id }`)} }`;

describe('a variable that many fields use', () => {
  const cases: [what: string, document: string, variables: object][] = [
    ['an id under 60 aliases', aliases(60), { by: { id: text(3.5) } }],
    [
      'a cursor inside a literal, through fragments that spread each other twice',
      `query ($name: String!) { ...A ...B } fragment A on Query { ...B b: viewer { ...C } }
       fragment B on Query { ${repeat(4, (index) => `c${index}: cluster(by: { name: $name }) { id }`)} } fragment C on Viewer { name }`,
      { name: text(1) },
    ],
    [
      'the condition of a directive',
      `query ($if: Boolean!) { ${repeat(90, (index) => `v${index}: __typename @skip(if: $if)`)} }`,
      { if: text(1) },
    ],
    [
      'many items',
      `query ($ids: [ID!]!) { ${repeat(60, (index) => `n${index}: nodes(ids: $ids) { id }`)} }`,
      { ids: Array(15_000).fill('') },
    ],
    [
      'its default',
      `query ($name: String! = "${'x'.repeat(60 * 1024)}") { ${repeat(80, (index) => `a${index}: cluster(by: { name: $name }) { id }`)} }`,
      {},
    ],
  ];

  it.each(cases)(
    'rejects a large variable that is used often, before coercing it: %s',
    async (_, document, variables) => {
      const { errors } = await app.graphql(document, variables);
      expect(errors).toHaveLength(1);
      expect(errors?.[0].extensions.code).toBe('TOO_COSTLY');
      expect(errors?.[0].message).toMatch(/variable "\$(by|name|if|ids)".*at most 4,194,304 characters/);
    },
  );

  it('accepts a large variable that is used once or twice, and a small one that is used often', async () => {
    for (const [times, id] of [
      [1, text(3.9)],
      [2, text(3.9)],
      [60, 'x'.repeat(1_000)],
    ] as const) {
      const { errors } = await app.graphql(aliases(times), { by: { id } });
      expect(errors).toBeUndefined();
    }
  });

  it('charges a variable for each use', async () => {
    const take = vi.spyOn(CostBudget.prototype, 'take');
    const charged = async (times: number) => {
      take.mockClear();
      await app.graphql(aliases(times), { by: { id: text(0.5) } });
      return take.mock.calls.reduce((sum, [, cost]) => sum + cost, 0);
    };
    const once = await charged(1);
    expect((await charged(8)) - once).toBeGreaterThan(7 * 512 * 10);
  });

  it('rejects a caller whose cost budget does not cover the variable', async () => {
    const thrifty = await startApp({ GRAPHQL_COST_PER_MINUTE: '20000' });
    try {
      expect((await thrifty.graphql(aliases(7), { by: { id: text(0.5) } })).status).toBe(429);
    } finally {
      await thrifty.close();
    }
  });
});

describe('quotableVariables', () => {
  const document = parse('mutation ($input: CreateClusterInput!) { createCluster(input: $input) { __typename } }');
  const definitions = getOperationAST(document)?.variableDefinitions ?? [];
  const copyOf = (input: unknown) => quotableVariables(schema, definitions, { input, more: text(1) });
  const many = (write: (key: string) => unknown) =>
    Object.fromEntries(Array.from({ length: 19_900 }, (_, index) => [`${index}`.padEnd(190, 'k'), write(`${index}`)]));

  it.each([
    ['unknown keys', many(() => 1)],
    ['unknown keys further down', { name: 'x', credential: { kubeconfig: many(() => 'x') } }],
    ['an object in the place of a text', { name: many(() => 1) }],
    ['a list in the place of an object', { name: 'x', credential: Array(19_900).fill('x'.repeat(190)) }],
    ['a long text', { name: text(3) }],
  ])('the copy is small and as valid or invalid as the original: %s', (_, input) => {
    const copy = copyOf(input);
    expect(JSON.stringify(copy).length).toBeLessThan(2_000);
    const [given, copied] = [{ input }, copy].map((values) =>
      getVariableValues(schema, definitions, values, { maxErrors: 1 }),
    );
    expect(copied?.errors === undefined).toBe(given?.errors === undefined);
  });

  it('quotableVariables keeps valid values', () => {
    const input = { name: 'x', labels: [{ key: 'a', value: 'b' }], credential: { kubeconfig: { text: 'y' } } };
    expect(getVariableValues(schema, definitions, copyOf(input)).errors).toBeUndefined();
  });
});
