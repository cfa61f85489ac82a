import { once } from 'node:events';
import { request } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { createUser, LOGIN, signIn } from './support/users.ts';
import { send } from './support/wire.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const canary = 'token: kubeconfig-canary-5a1f';

describe('error messages for invalid input', () => {
  const create = 'mutation ($i: CreateClusterInput!) { createCluster(input: $i) { __typename } }';
  it.each([
    ['a misspelt neighbour', { name: 'x', credentials: { kubeconfig: { text: canary } } }],
    ['a misspelt field beside it', { name: 'x', credential: { kubeconfig: { text: canary, contexts: 'y' } } }],
    ['two of one', { name: 'x', credential: { kubeconfig: { text: canary }, inCluster: true } }],
    ['the wrong type', { name: 'x', credential: { kubeconfig: canary } }],
    ['a list', [canary]],
    ['a name that is no text', { name: { canary } }],
  ])('an error message does not quote the variables when they contain %s', async (_what, input) => {
    const { errors } = await app.graphql(create, { i: input });
    expect(errors?.length).toBeGreaterThan(0);
    expect(JSON.stringify(errors)).not.toContain('canary-5a1f');
  });

  it('an error message does not quote an invalid string literal', async () => {
    const document = `mutation { importClusters(input: { kubeconfig: ${JSON.stringify(canary)}, dryRuns: true }) { __typename } }`;
    const { errors } = await app.graphql(document);
    expect(errors?.length).toBeGreaterThan(0);
    expect(JSON.stringify(errors)).not.toContain('canary-5a1f');
  });

  it('an error message stays short when an unknown field name has 100,000 characters', async () => {
    const { errors } = await app.graphql(create, { i: { name: 'x', ['k'.repeat(100_000)]: 1 } });
    expect(JSON.stringify(errors).length).toBeLessThan(2_000);
  });
});

describe('shortening of error messages', () => {
  const list = 'query ($filter: ClusterFilter) { clusters(filter: $filter) { totalCount } }';
  const words = [' cannot represent ', 'found: ', 'found String "', 'unknown field "', 'Unexpected parameter "', '"'];
  const whole = (word: string) => word.repeat(Math.floor(3_900_000 / word.length));

  // A pattern with quadratic run time takes minutes for each of these inputs, so the test's time limit is the
  // assertion.
  it.each(words)('shortens the error for a 3.9 MB value that repeats %j', async (word) => {
    for (const filter of [{ states: [whole(word)] }, { enabled: whole(word) }, whole(word)]) {
      const { errors } = await app.graphql(list, { filter });
      expect(errors?.[0]?.extensions.code).toBe('BAD_REQUEST');
      expect(JSON.stringify(errors).length).toBeLessThan(2_000);
    }
  });

  it.each(words)('shortens the error for a 3.9 MB field name that repeats %j', async (word) => {
    const { errors } = await app.graphql(list, { filter: { [whole(word)]: 1 } });
    expect(JSON.stringify(errors).length).toBeLessThan(2_000);
    const answer = await app.rest('POST', '/graphql', { query: list, [whole(word)]: 1 });
    expect(JSON.stringify(answer.body).length).toBeLessThan(2_000);
  });

  it.each(words)('shortens the error for a document that repeats %j', async (word) => {
    const text = JSON.stringify(word.repeat(Math.floor(25_000 / word.length)));
    for (const document of [
      `{ clusters(filter: { states: [${text}] }) { totalCount } }`,
      `{ clusters(first: ${text}) { totalCount } }`,
      `{ viewer ${text} }`,
      `query ${text} { viewer { name } }`,
      `{ ${'a'.repeat(50_000)} }`,
    ])
      expect(JSON.stringify((await app.graphql(document)).errors).length).toBeLessThan(2_500);
  });
});

describe('expensive requests', () => {
  const refusal = (answer: { errors?: { extensions: { code: string } }[] }) => answer.errors?.[0]?.extensions.code;

  it('rejects a document with too many characters, even if most of them are a comment', async () => {
    expect(refusal(await app.graphql(`{ viewer { name } } ${'#'.repeat(70_000)}`))).toBe('BAD_REQUEST');
  });

  it('rejects variables with too many keys', async () => {
    const i = Object.fromEntries(Array.from({ length: 25_000 }, (_, index) => [`k${index}`, 1]));
    const document = 'mutation ($i: CreateClusterInput!) { createCluster(input: $i) { __typename } }';
    expect(refusal(await app.graphql(document, { i }))).toBe('BAD_REQUEST');
  });

  it('rejects an anonymous body above 16 KiB and every anonymous request with variables', async () => {
    const large = await app.graphql(`{ viewer { name } } ${'#'.repeat(20_000)}`, {}, {});
    expect(large.status).toBe(413);
    const document = 'mutation ($i: CreateClusterInput!) { createCluster(input: $i) { __typename } }';
    expect(refusal(await app.graphql(document, { i: { k1: 1 } }, {}))).toBe('UNAUTHENTICATED');
    const fragment = 'query ($i: ID!) { ...F } fragment F on Query { node(id: $i) { id } }';
    expect(refusal(await app.graphql(fragment, { i: 'x' }, {}))).toBe('UNAUTHENTICATED');
  });

  it.each([LOGIN, '/api/v1/admin/users/create_super_user'])(
    'rejects a body above 16 KiB and a compressed body on the public route %s',
    async (path) => {
      const of = (length: number) => `{"username":"ada","password":"${'x'.repeat(length)}"}`;
      const post = (body: string | Buffer, headers: Record<string, string> = {}, chunked = false) =>
        send(app, {
          ...{ method: 'POST', path, body, chunked },
          headers: { Host: 'localhost', 'Content-Type': 'application/json', ...headers },
        });
      for (const headers of [{}, { Authorization: app.admin }]) {
        for (const chunked of [false, true]) expect((await post(of(17_000), headers, chunked)).status).toBe(413);
        expect((await post(gzipSync(of(10)), { ...headers, 'Content-Encoding': 'gzip' })).status).toBe(415);
      }
      expect((await post(of(15_000))).status).toBeLessThan(404);
    },
  );

  it('reports at most six errors for a document with 50 unknown fields', async () => {
    const fields = Array.from({ length: 50 }, (_, index) => `n${index}`).join(' ');
    const { errors } = await app.graphql(`{ viewer { ${fields} } }`);
    expect(errors?.length).toBeLessThanOrEqual(6);
  });

  it('rejects HTTP methods that GraphQL over HTTP does not define', async () => {
    expect((await app.rest('DELETE', '/graphql')).status).toBe(405);
  });
});

describe('an API key that is revoked while a request body is in transit', () => {
  it.each([
    ['POST', CLUSTERS, '{"name":"late"}'],
    [
      'POST',
      '/graphql',
      '{"query":"mutation { createCluster(input: { name: \\"late\\", verify: NONE }) { __typename } }"}',
    ],
  ])('an API key revoked during the request body cannot write by %s %s', async (method, path, body) => {
    const caller = systemCaller('command line');
    const { id, text } = await app.domain.apiKeys.create(caller, { name: 'late', roles: ['admin'] });
    const headers = { Authorization: text, 'Content-Type': 'application/json', 'Content-Length': body.length };
    const sending = request(`${app.url}${path}`, { method, headers });
    sending.write(body.slice(0, 5));
    // The request has been authenticated by its headers once the server waits for the rest of its body.
    await app.rest('GET', CLUSTERS);
    await app.domain.apiKeys.revoke(caller, id);
    sending.end(body.slice(5));
    const [answer] = await once(sending, 'response');
    expect(answer.resume().statusCode).toBe(401);
    expect((await app.rest('GET', CLUSTERS)).body).toEqual([]);
  });
});

it('a session that ends during the request body because the user loses a role cannot write', async () => {
  const caller = systemCaller('command line');
  await createUser(app, 'late', ['admin']);
  await createUser(app, 'another', ['admin']);
  const headers = { ...(await signIn(app, 'late')), 'Content-Type': 'application/json', 'Content-Length': 15 };
  const sending = request(`${app.url}${CLUSTERS}`, { method: 'POST', headers });
  sending.write('{"nam');
  await app.rest('GET', CLUSTERS);
  await app.domain.users.update(caller, { username: 'late', roles: ['viewer'] });
  sending.end('e":"late"}');
  const [answer] = await once(sending, 'response');
  expect(answer.resume().statusCode).toBe(401);
  expect((await app.rest('GET', CLUSTERS)).body).toEqual([]);
});
