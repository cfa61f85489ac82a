import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maskError } from '../src/graphql/errors.ts';
import type { Logger } from '../src/log.ts';
import { startApp, type TestApp } from './support/app.ts';
import { onTestFinished } from './support/running-test.ts';
import { subscribe } from './support/wire.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const canary = 'kite-canary-value';
const create = 'mutation ($input: CreateClusterInput!) { createCluster(input: $input) { __typename } }';

const post = async (body: string, headers: Record<string, string> = {}) => {
  const response = await fetch(`${app.url}/graphql`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: app.admin, ...headers },
    body,
  });
  const text = await response.text();
  return { status: response.status, text, errors: JSON.parse(text).errors };
};

describe('an invalid GraphQL request', () => {
  const withCredential = (credential: unknown) =>
    JSON.stringify({ query: create, variables: { input: { name: 'x', credential } } });
  const inline = (input: string) =>
    JSON.stringify({ query: `mutation { createCluster(input: ${input}) { __typename } }` });

  it.each([
    ['an object is expected', withCredential({ kubeconfig: canary })],
    ['a string is expected', withCredential({ kubeconfig: { text: { canary } } })],
    ['a list is sent', withCredential({ kubeconfig: [{ text: [canary] }] })],
    ['two of one', withCredential({ inCluster: true, kubeconfig: { text: canary } })],
    ['an unknown field', withCredential({ kubeconfig: { text: 'x', token: canary } })],
    ['a required field is missing', withCredential({ kubeconfig: { context: canary } })],
    ['the whole input', JSON.stringify({ query: create, variables: { input: canary } })],
    ['a variable of another type', JSON.stringify({ query: create, variables: [canary] })],
    ['an enum', JSON.stringify({ query: create, variables: { input: { name: 'x', verify: canary } } })],
    [
      'an enum that holds GraphQL’s own words',
      JSON.stringify({ query: create, variables: { input: { name: 'x', verify: `${canary} # if not found: ask` } } }),
    ],
    ['a name that is none', withCredential({ [`token: ${canary}`]: 'x' })],
    ['a parameter that is none', JSON.stringify({ query: create, [`token: ${canary}`]: 'x' })],
    ['a literal of another type', inline(`{ name: "x", credential: { kubeconfig: "${canary}" } }`)],
    ['a literal number', inline(`{ name: "x", credential: { kubeconfig: { text: 1, context: ["${canary}"] } } }`)],
    ['a literal enum', inline(`{ name: "x", verify: "${canary}" }`)],
    [
      'a literal with an unknown field',
      inline(`{ name: "x", credential: { kubeconfig: { text: "${canary}", token: "" } } }`),
    ],
    ['a literal twice', inline(`{ name: "${canary}" "${canary}" }`)],
    ['a block string', inline(`{ name: """${canary}""" """${canary}""" }`)],
    ['a string without its end', inline(`{ name: "${canary}`)],
    ['malformed JSON', `{ "query": "{ viewer { name } }", "variables": { "x": ${canary} }`],
    ['JSON that is no object', JSON.stringify(canary)],
    ['null', 'null'],
    ['no query', JSON.stringify({ variables: { canary } })],
    ['a query that is no text', JSON.stringify({ query: { canary } })],
    ['extensions that are no object', JSON.stringify({ query: '{ viewer { name } }', extensions: canary })],
  ])('an error locates the invalid part and never quotes its value: %s', async (_, body) => {
    for (const accept of ['application/json', 'application/graphql-response+json']) {
      const { status, text, errors } = await post(body, { Accept: accept });
      expect(status).toBeLessThan(500);
      expect(errors.length).toBeGreaterThan(0);
      expect(text).not.toContain(canary);
      expect(text).not.toMatch(/stack|originalError|node_modules|\.ts\b/);
      for (const { message, extensions, ...rest } of errors) {
        expect(message).not.toBe('');
        expect(Object.keys(extensions)).toEqual(['code']);
        expect(extensions.code).toMatch(/^(?:BAD_REQUEST|GRAPHQL_PARSE_FAILED|GRAPHQL_VALIDATION_FAILED)$/);
        expect(Object.keys(rest).filter((key) => key !== 'locations')).toEqual([]);
      }
    }
  });

  it('an error names the variable, the path within it, and the location in the document', async () => {
    const { errors } = await post(withCredential({ kubeconfig: { text: 1 } }));
    expect(errors[0].message).toMatch(/\$input.*credential\.kubeconfig\.text/);
    expect(errors[0].locations).toEqual([{ line: 1, column: 11 }]);
    expect((await post(JSON.stringify({ query: '{ viewer { ' }))).errors[0].locations).toEqual([
      { line: 1, column: 12 },
    ]);
  });

  it('reports the first five errors of the variables', async () => {
    const { errors } = await post(
      JSON.stringify({
        query: create,
        variables: { input: { name: 'x', labels: Array.from({ length: 20 }, () => 1) } },
      }),
    );
    expect(errors.map(({ message }: { message: string }) => message)).toEqual([
      ...[0, 1, 2, 3, 4].map((index) => expect.stringContaining(`at "input.labels[${index}]"`)),
      expect.stringContaining('Too many errors'),
    ]);
  });

  it('an invalid variable gets status 400 with application/graphql-response+json, and 200 with application/json', async () => {
    for (const variables of [{}, { input: 5 }])
      for (const [Accept, status] of [
        ['application/graphql-response+json', 400],
        ['application/json', 200],
      ] as const)
        expect(await post(JSON.stringify({ query: create, variables }), { Accept })).toMatchObject({
          ...{ status, errors: [{ extensions: { code: 'BAD_REQUEST' } }] },
        });
  });

  it('an error suggests names of the schema, never data', async () => {
    await app.graphql(create, { input: { name: 'canary-cluster', verify: 'NONE' } });
    const { errors } = await post(JSON.stringify({ query: '{ clusterz { id } }' }));
    expect(errors[0].message).toContain('Did you mean');
    const { text } = await post(JSON.stringify({ query: '{ cluster(by: { name: "canary-cluste" }) { id } }' }));
    expect(text).toBe('{"data":{"cluster":null}}');
  });
});

describe('an internal error', () => {
  it('an internal error has only the code INTERNAL and the request id that the log contains', async () => {
    const { prisma } = app.domain.database;
    await prisma.$executeRawUnsafe('ALTER TABLE "ClusterLabel" RENAME TO "Elsewhere"');
    try {
      const { data, errors, headers } = await app.graphql('{ viewer { name } clusters { nodes { labels { key } } } }');
      const requestId = headers.get('x-request-id');
      expect(data).toBeNull();
      expect(errors?.map(({ extensions, path }) => [extensions, path])).toEqual([
        [{ code: 'INTERNAL', requestId }, ['clusters']],
      ]);
      expect(JSON.stringify(errors)).not.toMatch(/ClusterLabel|prisma|SQL|stack/i);
      const lines = app
        .logged()
        .split('\n')
        .filter((line) => line.includes('a request failed'));
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain(requestId);
    } finally {
      await prisma.$executeRawUnsafe('ALTER TABLE "Elsewhere" RENAME TO "ClusterLabel"');
    }
  });

  it('an internal error of a subscription has the code INTERNAL and the request id', async () => {
    const { prisma } = app.domain.database;
    const query = 'subscription { clusterChanged { ... on ClusterUpserted { cluster { labels { key } } } } }';
    const stream = await subscribe(app, query, { Authorization: app.admin });
    await app.graphql(create, { input: { name: 'before', verify: 'NONE' } });
    await prisma.$executeRawUnsafe('ALTER TABLE "ClusterLabel" RENAME TO "Elsewhere"');
    onTestFinished(() => prisma.$executeRawUnsafe('ALTER TABLE "Elsewhere" RENAME TO "ClusterLabel"'));
    // The stream may have sent the creation already: change the cluster while its labels cannot be read.
    await app.domain.database.write('registry', (tx, { registry = 0 }) =>
      tx.cluster.updateMany({ data: { registryChange: registry } }),
    );
    const requestId = stream.headers.get('x-request-id');
    let received = '';
    for await (const chunk of stream.body ?? []) {
      received += Buffer.from(chunk).toString();
      if (received.includes('INTERNAL')) break;
    }
    expect(received).toContain(`"extensions":{"code":"INTERNAL","requestId":"${requestId}"}`);
  });

  it('an internal error keeps the other parts of the response', async () => {
    const { prisma } = app.domain.database;
    await prisma.$executeRawUnsafe('ALTER TABLE "ClusterLabel" RENAME TO "Elsewhere"');
    try {
      const { data, errors } = await app.graphql(
        '{ viewer { name } cluster(by: { databaseId: 1 }) { labels { key } } }',
      );
      expect([data, errors?.[0].extensions.code]).toEqual([
        { viewer: { name: 'test admin' }, cluster: null },
        'INTERNAL',
      ]);
    } finally {
      await prisma.$executeRawUnsafe('ALTER TABLE "Elsewhere" RENAME TO "ClusterLabel"');
    }
  });

  it('maskError masks every thrown value, once', () => {
    const logged: object[] = [];
    const log = { error: (fields: object) => logged.push(fields) } as unknown as Logger;
    for (const thrown of [new Error(canary), new TypeError(canary), canary, undefined, null, { message: canary }]) {
      const masked = maskError(thrown, { log, requestId: 'r' });
      expect(JSON.stringify(masked)).not.toContain(canary);
      expect(masked.extensions).toEqual({ code: 'INTERNAL', requestId: 'r' });
      expect(masked.originalError).toBeUndefined();
      expect(maskError(masked, { log })).toBe(masked);
    }
    expect(logged).toHaveLength(6);
  });
});
