import { serverAudits } from 'graphql-http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.ts';
import { send } from './support/wire.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const audits = serverAudits({ url: () => `${app.url}/graphql` });
const auditsWithKey = serverAudits({
  url: () => `${app.url}/graphql`,
  fetchFn: (url: string, init: RequestInit = {}) =>
    fetch(url, { ...init, headers: { ...(init.headers as Record<string, string>), authorization: app.admin } }),
});

describe.each([
  ['a stranger', audits],
  ['an API key', auditsWithKey],
])('GraphQL over HTTP with %s', (_, all) => {
  it.each(all.map(({ name, fn }) => [name, fn] as const))(
    'GraphQL over HTTP passes the audit: %s',
    async (_name, audit) => {
      const result = await audit();
      expect([result.status, 'reason' in result ? result.reason : undefined]).toEqual(['ok', undefined]);
    },
  );
});

it('graphql-http defines 61 audits', () => {
  expect(audits).toHaveLength(61);
});

describe('GET /graphql', () => {
  const get = async (parameters: Record<string, string>) => {
    const response = await fetch(`${app.url}/graphql?${new URLSearchParams(parameters)}`, {
      headers: { Authorization: app.admin, Accept: 'application/json' },
    });
    return { status: response.status, headers: response.headers, body: await response.json() };
  };

  it('GET executes a query with its variables', async () => {
    const query = 'query Who($no: Boolean!) { viewer { name kind @skip(if: $no) } } query Other { __typename }';
    const variables = JSON.stringify({ no: true });
    const { status, body } = await get({ query, variables, operationName: 'Who' });
    expect([status, body]).toEqual([200, { data: { viewer: { name: 'test admin' } } }]);
  });

  it('GET never executes a mutation', async () => {
    const query = 'mutation { createCluster(input: { name: "got", verify: NONE }) { __typename } }';
    for (const parameters of [
      { query },
      { query: `query Q { __typename } ${query.replace('mutation', 'mutation M')}`, operationName: 'M' },
    ]) {
      const { status, headers } = await get(parameters);
      expect([status, headers.get('allow')]).toEqual([405, 'POST']);
    }
    expect((await app.graphql('{ clusters { totalCount } }')).data.clusters.totalCount).toBe(0);
  });

  it.each(['variables', 'extensions'])(
    'GET rejects malformed `%s` in the URL without logging an internal error',
    async (name) => {
      const { status, body } = await get({ query: '{ __typename }', [name]: '{ kite-canary' });
      expect(status).toBe(400);
      expect(body.errors).toEqual([
        { message: `\`${name}\` in the URL is not valid JSON`, extensions: { code: 'BAD_REQUEST' } },
      ]);
      expect(app.logged()).not.toContain('a request failed');
    },
  );

  it('GET does not quote malformed variables', async () => {
    const { status, body } = await get({ query: '{ __typename }', variables: '{ kite-canary' });
    expect(status).toBeLessThan(500);
    expect(body.errors).toHaveLength(1);
    expect(JSON.stringify(body)).not.toContain('canary');
  });
});

it.each([
  ['a trailing slash in the path', '/graphql/', {}],
  ['an empty operation name', '/graphql', { operationName: '' }],
  ['members that the server does not know', '/graphql', { id: 'relay', doc_id: 7 }],
])('accepts %s', async (_, path, more) => {
  const response = await fetch(`${app.url}${path}`, {
    method: 'POST',
    headers: { Authorization: app.admin, 'Content-Type': 'application/json' },
    body: JSON.stringify({ query: 'query One { clusters { totalCount } }', ...more }),
  });
  expect([response.status, await response.json()]).toEqual([200, { data: { clusters: { totalCount: 0 } } }]);
});

it('form, text and multipart bodies execute nothing', async () => {
  const query = 'mutation { createCluster(input: { name: "posted", verify: NONE }) { __typename } }';
  const form = new FormData();
  form.set('operations', JSON.stringify({ query }));
  form.set('map', '{}');
  const first = { username: 'ada', password: 'correct horse battery' };
  const signedInUser = await app.rest('POST', '/api/v1/admin/users/create_super_user', first, {});
  const Cookie = signedInUser.headers.get('set-cookie')?.split(';')[0] ?? '';
  const bodies: [string | undefined, string | FormData][] = [
    ['application/x-www-form-urlencoded', new URLSearchParams({ query }).toString()],
    ['text/plain', JSON.stringify({ query })],
    ['application/graphql', query],
    [undefined, form],
  ];
  for (const [type, body] of bodies)
    for (const headers of [{}, { Cookie }]) {
      const response = await fetch(`${app.url}/graphql`, {
        method: 'POST',
        headers: { ...headers, ...(type ? { 'Content-Type': type } : {}) },
        body,
      });
      expect([type, response.status]).toEqual([type, 415]);
    }
  expect((await app.graphql('{ clusters { totalCount } }')).data.clusters.totalCount).toBe(0);
});

it.each(['application/json', 'text/event-stream'])(
  'rejects a body that is not UTF-8, with Accept: %s',
  async (Accept) => {
    const query = 'mutation { createCluster(input: { name: "caf\xe9", verify: NONE }) { __typename } }';
    const body = Buffer.from(JSON.stringify({ query }), 'latin1');
    const headers = { Authorization: app.admin, 'Content-Type': 'application/json', Accept };
    const { status, text } = await send(app, { method: 'POST', path: '/graphql', headers, body });
    expect([status, JSON.parse(text).errors[0].extensions.code]).toEqual([400, 'BAD_REQUEST']);
    expect((await app.graphql('{ clusters { totalCount } }')).data.clusters.totalCount).toBe(0);
  },
);

it('rejects a subscription unless the caller accepts an event stream, and keeps nothing open', async () => {
  const query = 'subscription { clusterChanged { __typename } }';
  const requestSubscription = (Accept: string) =>
    fetch(`${app.url}/graphql`, {
      method: 'POST',
      headers: { Authorization: app.admin, 'Content-Type': 'application/json', Accept },
      body: JSON.stringify({ query }),
    });
  // More than the number of streams that a caller may have open.
  for (let time = 0; time < 60; time++)
    for (const accept of ['*/*', 'text/*', 'application/json'])
      expect((await requestSubscription(accept)).status, accept).toBe(406);
  const response = await requestSubscription('*/*');
  expect((await response.json()).errors[0].message).toContain('text/event-stream');
  for (const accept of ['text/event-stream', 'TEXT/EVENT-STREAM']) {
    const stream = await requestSubscription(accept);
    expect([stream.status, stream.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    // nginx would hold the events back.
    expect(stream.headers.get('x-accel-buffering')).toBe('no');
    await stream.body?.cancel();
  }
});
