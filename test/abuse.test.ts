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

describe('an answer never quotes what was sent', () => {
  const create = 'mutation ($i: CreateClusterInput!) { createCluster(input: $i) { __typename } }';
  it.each([
    ['a misspelt neighbour', { name: 'x', credentials: { kubeconfig: { text: canary } } }],
    ['a misspelt field beside it', { name: 'x', credential: { kubeconfig: { text: canary, contexts: 'y' } } }],
    ['two of one', { name: 'x', credential: { kubeconfig: { text: canary }, inCluster: true } }],
    ['the wrong type', { name: 'x', credential: { kubeconfig: canary } }],
    ['a list', [canary]],
    ['a name that is no text', { name: { canary } }],
  ])('with %s', async (_what, input) => {
    const { errors } = await app.graphql(create, { i: input });
    expect(errors?.length).toBeGreaterThan(0);
    expect(JSON.stringify(errors)).not.toContain('canary-5a1f');
  });

  it('as a literal', async () => {
    const document = `mutation { importClusters(input: { kubeconfig: ${JSON.stringify(canary)}, dryRuns: true }) { __typename } }`;
    const { errors } = await app.graphql(document);
    expect(errors?.length).toBeGreaterThan(0);
    expect(JSON.stringify(errors)).not.toContain('canary-5a1f');
  });

  it('however long a name that nobody knows is', async () => {
    const { errors } = await app.graphql(create, { i: { name: 'x', ['k'.repeat(100_000)]: 1 } });
    expect(JSON.stringify(errors).length).toBeLessThan(2_000);
  });
});

describe('a message that quotes what was sent takes no more than a look at it', () => {
  const list = 'query ($filter: ClusterFilter) { clusters(filter: $filter) { totalCount } }';
  const words = [' cannot represent ', 'found: ', 'found String "', 'unknown field "', 'Unexpected parameter "', '"'];
  const whole = (word: string) => word.repeat(Math.floor(3_900_000 / word.length));

  // A quadratic pattern takes minutes over each of these: the limit of time of a test is the assertion.
  it.each(words)('as a value: %j', async (word) => {
    for (const filter of [{ states: [whole(word)] }, { enabled: whole(word) }, whole(word)]) {
      const { errors } = await app.graphql(list, { filter });
      expect(errors?.[0]?.extensions.code).toBe('BAD_REQUEST');
      expect(JSON.stringify(errors).length).toBeLessThan(2_000);
    }
  });

  it.each(words)('as a name: %j', async (word) => {
    const { errors } = await app.graphql(list, { filter: { [whole(word)]: 1 } });
    expect(JSON.stringify(errors).length).toBeLessThan(2_000);
    const answer = await app.rest('POST', '/graphql', { query: list, [whole(word)]: 1 });
    expect(JSON.stringify(answer.body).length).toBeLessThan(2_000);
  });

  it.each(words)('in a document: %j', async (word) => {
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

describe('what costs much is refused before it is gone through', () => {
  const refusal = (answer: { errors?: { extensions: { code: string } }[] }) => answer.errors?.[0]?.extensions.code;

  it('a document of many characters, whatever they are', async () => {
    expect(refusal(await app.graphql(`{ viewer { name } } ${'#'.repeat(70_000)}`))).toBe('BAD_REQUEST');
  });

  it('variables of many keys', async () => {
    const i = Object.fromEntries(Array.from({ length: 25_000 }, (_, index) => [`k${index}`, 1]));
    const document = 'mutation ($i: CreateClusterInput!) { createCluster(input: $i) { __typename } }';
    expect(refusal(await app.graphql(document, { i }))).toBe('BAD_REQUEST');
  });

  it('a stranger’s body above 16 KiB, and their variables at all', async () => {
    const large = await app.graphql(`{ viewer { name } } ${'#'.repeat(20_000)}`, {}, {});
    expect(large.status).toBe(413);
    const document = 'mutation ($i: CreateClusterInput!) { createCluster(input: $i) { __typename } }';
    expect(refusal(await app.graphql(document, { i: { k1: 1 } }, {}))).toBe('UNAUTHENTICATED');
    const fragment = 'query ($i: ID!) { ...F } fragment F on Query { node(id: $i) { id } }';
    expect(refusal(await app.graphql(fragment, { i: 'x' }, {}))).toBe('UNAUTHENTICATED');
  });

  it.each([LOGIN, '/api/v1/admin/users/create_super_user'])(
    'a body above 16 KiB, or a packed one, where anyone may ask: %s',
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

  it('more faults than anyone reads', async () => {
    const fields = Array.from({ length: 50 }, (_, index) => `n${index}`).join(' ');
    const { errors } = await app.graphql(`{ viewer { ${fields} } }`);
    expect(errors?.length).toBeLessThanOrEqual(6);
  });

  it('another method than GraphQL over HTTP has', async () => {
    expect((await app.rest('DELETE', '/graphql')).status).toBe(405);
  });
});

describe('a key that is revoked while its body is under way', () => {
  it.each([
    ['POST', CLUSTERS, '{"name":"late"}'],
    [
      'POST',
      '/graphql',
      '{"query":"mutation { createCluster(input: { name: \\"late\\", verify: NONE }) { __typename } }"}',
    ],
  ])('writes nothing by %s %s', async (method, path, body) => {
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

it('a session that ends with a role, while its body is under way, writes nothing', async () => {
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
