import { type DocumentNode, executeSync, getIntrospectionQuery, Kind, parse, print, visit } from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { countIntrospections, MAX_INTROSPECTIONS } from '../src/graphql/introspection.ts';
import { schema } from '../src/graphql/schema.ts';
import { startApp, type TestApp } from './support/app.ts';
import { onTestFinished } from './support/running-test.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const repeat = (times: number, write: (index: number) => string) =>
  Array.from({ length: times }, (_, index) => write(index)).join(' ');
const anonymous = {};
const queryAnonymously = async (query: string, variables: object = {}) => {
  const { errors, data } = await app.graphql(query, variables, anonymous);
  return { errors, data, bytes: JSON.stringify(data ?? null).length };
};

const EVERY_OPTION = {
  ...{ descriptions: true, specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true },
  ...{ inputValueDeprecation: true, oneOf: true },
};
const WHOLE = getIntrospectionQuery(EVERY_OPTION);
const wholeBytes = JSON.stringify(executeSync({ schema, document: parse(WHOLE) })).length;

/** Adds `__typename` to every selection set, as Apollo's clients do. */
function withTypeNames(query: string): string {
  const typeName = { kind: Kind.FIELD, name: { kind: Kind.NAME, value: '__typename' } } as const;
  return print(
    visit(parse(query), {
      SelectionSet: (node) => ({ ...node, selections: [...node.selections, typeName] }),
    }) as DocumentNode,
  );
}

describe('introspection without credentials', () => {
  const ofTypes = (depth: number): string => (depth === 0 ? 'kind name' : `kind name ofType { ${ofTypes(depth - 1)} }`);
  const harmless: [tool: string, document: string][] = [
    ['the usual query', getIntrospectionQuery()],
    ['the usual query with every option', WHOLE],
    ['the usual query without descriptions', getIntrospectionQuery({ descriptions: false })],
    ['the usual query, with __typename everywhere', withTypeNames(WHOLE)],
    [
      'names alone',
      '{ __schema { queryType { fields { name } } mutationType { fields { name } } subscriptionType { fields { name } } types { name fields { name } } } }',
    ],
    [
      'two selections of one field, which merge',
      '{ __schema { types { name } ...F } } fragment F on __Schema { types { kind } }',
    ],
    [
      'some types',
      `{ ${repeat(10, (index) => `t${index}: __type(name: "Cluster") { name fields { name type { ${ofTypes(4)} } } }`)} }`,
    ],
    [
      'a type by a variable',
      'query ($name: String = "Cluster") { __type(name: $name) { name kind possibleTypes { name } } }',
    ],
    [
      'enums and inputs',
      '{ __schema { types { enumValues { name } inputFields { name defaultValue } } directives { name args { name } locations } } }',
    ],
  ];
  it.each(harmless)('an anonymous caller can run %s', async (_, document) => {
    const { errors, data } = await queryAnonymously(document);
    expect(errors).toBeUndefined();
    expect(data).toBeTruthy();
  });

  const costly: [what: string, document: string][] = [
    ['aliases of one field', '{ __schema { types { a: fields { name } b: fields { name } } } }'],
    [
      'an alias in a fragment',
      '{ __schema { types { fields { name } ...F } } } fragment F on __Type { b: fields { name } }',
    ],
    ['aliases of the schema', '{ a: __schema { queryType { name } } b: __schema { queryType { name } } }'],
    [
      'the schema under an alias in a fragment',
      '{ a: __schema { queryType { name } } ...F } fragment F on Query { b: __schema { queryType { name } } }',
    ],
    [
      'aliases under ofType',
      `{ __schema { types { fields { type { ${repeat(20, (index) => `a${index}: ofType { name description }`)} } } } } }`,
    ],
    ['aliases of the description', `{ __schema { types { ${repeat(50, (index) => `a${index}: description`)} } } }`],
    ['more than ten types', `{ ${repeat(11, (index) => `t${index}: __type(name: "Int") { name }`)} }`],
    [
      'more than ten types in fragments',
      `{ ${repeat(6, (index) => `t${index}: __type(name: "Int") { name }`)} ...F } fragment F on Query { ${repeat(6, (index) => `u${index}: __type(name: "Int") { name }`)} }`,
    ],
    [
      'fields of the types of fields',
      '{ __schema { types { fields { name type { name fields { name description type { name ofType { name description } } args { name description } } } } } } }',
    ],
    [
      'possible types of the types of fields',
      '{ __schema { types { fields { type { ofType { possibleTypes { name fields { name description } } } } } } } }',
    ],
    [
      'interfaces of possible types',
      '{ __schema { types { possibleTypes { interfaces { name description possibleTypes { name } } } } } }',
    ],
    [
      'the whole schema through each of ten types',
      `{ ${repeat(10, (index) => `t${index}: __type(name: "Cluster") { fields { type { ofType { fields { type { ofType { name description ...D } } } } } } }`)} }
       fragment D on __Type { enumValues { name description } inputFields { name description } interfaces { name } }`,
    ],
    ['a long alias on every field', `{ __schema { types { fields { ${'a'.repeat(10_000)}: name } } } }`],
    [
      'selection sets that differ in fragments',
      `{ __schema { types { ...F0 } } } ${repeat(12, (index) => `fragment F${index} on __Type { fields { type { ...F${index + 1} } } ...F${index + 1} }`)} fragment F12 on __Type { name }`,
    ],
  ];
  it.each(costly)('rejects, or limits to the size of two whole introspections: %s', async (_, document) => {
    const { errors, bytes } = await queryAnonymously(document);
    expect(bytes).toBeLessThanOrEqual(MAX_INTROSPECTIONS * wholeBytes);
    if (errors) expect(['GRAPHQL_VALIDATION_FAILED', 'TOO_COSTLY']).toContain(errors[0].extensions.code);
  });

  it('the error for an expensive introspection says what is too much and what to do', async () => {
    const messages = await Promise.all(
      costly.map(async ([, document]) => (await queryAnonymously(document)).errors?.[0].message ?? ''),
    );
    expect(messages[0]).toBe('The document selects fields as "a" and as "b"; select it once');
    expect(messages[6]).toBe('The document reads __type more than 10 times; read a few types at a time');
    expect(messages[12]).toContain(`more than ${MAX_INTROSPECTIONS} times the whole schema`);
  });

  it('the estimated size is at least half of the written size', () => {
    for (const [, text] of [...harmless, ...costly.filter(([what]) => !what.includes('ten types in'))]) {
      const document = parse(text);
      const counted = countIntrospections({ schema, document });
      if (counted === undefined) continue;
      const written = JSON.stringify(executeSync({ schema, document }).data ?? null).length;
      // A field counts as at least 24 bytes, and descriptions as more, so the ratio differs between documents.
      expect([text, written <= 2 * counted * wholeBytes + 1_000]).toEqual([text, true]);
    }
    expect(countIntrospections({ schema, document: parse(WHOLE) })).toBe(1);
  });

  it.each([
    ['the whole schema', WHOLE],
    ['a type', '{ __type(name: "Cluster") { name fields { name description type { name } } } }'],
    ['a type beside much that is skipped', '{ __type(name: "Cluster") { name } viewer @skip(if: true) { name } }'],
  ])('charges for introspection of %s', async (_, document) => {
    const thrifty = await startApp({ GRAPHQL_COST_PER_MINUTE: '1500' });
    onTestFinished(() => thrifty.close());
    let [status, asked] = [200, 0];
    // Vary the requests so that no response is cached; the minute of the budget may change meanwhile.
    while (status === 200 && asked < 200)
      ({ status } = await thrifty.graphql(document, { unused: asked++ }, anonymous));
    expect(status).toBe(429);
  });

  it('rejects introspection together with expensive fields, skipped or not', async () => {
    const fields = repeat(50, (index) => `c${index}: clusters(first: 100) { nodes { id name description } }`);
    for (const skipped of ['', '@skip(if: true)']) {
      const document = `{ __schema { types { name } } ... on Query ${skipped} { ${fields} } }`;
      const { data, errors } = await app.graphql(document);
      expect([data ?? null, errors?.[0].extensions.code]).toEqual([null, 'TOO_COSTLY']);
    }
    const doubled = `{ ...F0 } ${repeat(14, (index) => `fragment F${index} on Query { ...F${index + 1} ...F${index + 1} }`)} fragment F14 on Query { __schema { types { name } } }`;
    const { data, errors } = await app.graphql(doubled, {}, anonymous);
    expect([data ?? null, errors?.[0].extensions.code]).toEqual([null, 'TOO_COSTLY']);
  });
});
