import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import type { Transaction } from '../src/storage/database.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { gate, kubeconfigOf, register } from './support/live.ts';
import { onTestFinished } from './support/running-test.ts';
import { kubernetes, standIn } from './support/stand-in.ts';
import { createUser, defineRole, keyWith, signedInUser } from './support/users.ts';

let app: TestApp;
beforeEach(async () => {
  app = await startApp();
  onTestFinished(() => app.close());
});

const clusters = async () => (await app.rest('GET', CLUSTERS)).body as { id: number; name: string }[];

/** An API server that answers once the test lets it, and a kubeconfig that points to it. */
async function slowServer() {
  const { handler, open } = gate(kubernetes());
  const server = await standIn(handler);
  const asked = () => expect.poll(() => server.requests.length).toBeGreaterThan(0);
  return { server, open, asked, text: kubeconfigOf(server.target()) };
}

/** Requests a change while another transaction is in progress, which ends with `meanwhile`. */
async function requestDuring<T>(
  meanwhile: (tx: Transaction) => Promise<unknown>,
  sendRequest: () => Promise<T>,
): Promise<T> {
  const { database } = app.domain;
  const [held, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const before = database.write('access', async (tx) => {
    held.resolve();
    await free.promise;
    await meanwhile(tx);
  });
  await held.promise;
  const write = vi.spyOn(database, 'write');
  const answer = sendRequest();
  await expect.poll(() => write.mock.calls.length).toBe(1);
  free.resolve();
  await before;
  return answer;
}

describe('a change that waits for another', () => {
  const CHANGES = [
    'createCluster(input: { name: "made", verify: NONE })',
    'updateCluster(input: { by: { name: "old" }, description: "changed" })',
    'deleteCluster(input: { by: { name: "old" } })',
    'createUser(input: { username: "made" })',
    'updateUser(input: { username: "bob", name: "Changed" })',
    'deleteUser(input: { username: "bob" })',
    'defineRole(input: { name: "made", actions: [CLUSTERS_READ] })',
    'deleteRole(input: { name: "ops" })',
    'createApiKey(input: { name: "made", roles: [] })',
  ];
  const sendRequest = async (change: string, headers: Record<string, string>) => {
    const { data, errors } = await app.graphql(
      `mutation { ${change} { __typename ... on Error { code } } }`,
      {},
      headers,
    );
    return errors?.[0]?.extensions.code ?? Object.values<{ code?: string }>(data)[0]?.code ?? 'done';
  };
  const state = async () => {
    const { apiKey, cluster, role, user } = app.domain.database.prisma;
    return [await cluster.findMany(), await user.findMany(), await role.findMany(), await apiKey.count()];
  };

  it.each(CHANGES)('a change is not made with a key that was revoked meanwhile: %s', async (change) => {
    await register(app, 'old', 'nothing that can be used');
    await createUser(app, 'bob');
    await defineRole(app, { name: 'ops', actions: ['clusters.read'] });
    const { id, headers } = await keyWith(app, ['admin']);
    await app.graphql('{ viewer { name } }', {}, headers);
    const [clusters, users, roles, keys] = await state();
    const revoke = (tx: Transaction) => tx.apiKey.delete({ where: { id } });
    expect(await requestDuring(revoke, () => sendRequest(change, headers))).toBe('UNAUTHENTICATED');
    expect(await state()).toEqual([clusters, users, roles, Number(keys) - 1]);
  });

  it.each<[string, string, (tx: Transaction) => Promise<unknown>]>([
    ['whose session ended', 'UNAUTHENTICATED', (tx) => tx.session.deleteMany()],
    ['who was disabled', 'UNAUTHENTICATED', (tx) => tx.user.updateMany({ data: { disabled: true } })],
    ['who lost the role', 'FORBIDDEN', (tx) => tx.userRole.deleteMany()],
    ['of whom nothing changed', 'done', async () => {}],
  ])('a change is authorized again for a user %s meanwhile: %s', async (_, outcome, meanwhile) => {
    const headers = await signedInUser(app, 'ann', ['admin']);
    await app.graphql('{ viewer { name } }', {}, headers);
    const change = 'createCluster(input: { name: "made", verify: NONE })';
    expect(await requestDuring(meanwhile, () => sendRequest(change, headers))).toBe(outcome);
    expect(await clusters()).toHaveLength(outcome === 'done' ? 1 : 0);
  });

  it('a change is not made with a personal key whose owner has lost the role meanwhile', async () => {
    await createUser(app, 'ann', ['admin']);
    const { id, headers } = await keyWith(app, ['admin']);
    const { prisma } = app.domain.database;
    const { id: ownerId } = await prisma.user.findUniqueOrThrow({ where: { username: 'ann' } });
    await prisma.apiKey.update({ where: { id }, data: { ownerId } });
    await app.graphql('{ viewer { name } }', {}, headers);
    const loseRole = (tx: Transaction) => tx.userRole.deleteMany();
    expect(
      await requestDuring(loseRole, () => sendRequest('createCluster(input: { name: "made", verify: NONE })', headers)),
    ).toBe('FORBIDDEN');
  });
});

describe('a change that first calls a cluster', () => {
  it.each([
    ['createCluster', (text: string) => ({ name: 'made', credential: { kubeconfig: { text } }, verify: 'CONNECT' })],
    ['importClusters', (text: string) => ({ kubeconfig: text, verify: 'CONNECT' })],
    [
      'updateCluster',
      (text: string) => ({ by: { name: 'old' }, credential: { kubeconfig: { text } }, verify: 'CONNECT' }),
    ],
  ])('%s is not made with a key that was revoked meanwhile', async (mutation, inputOf) => {
    await register(app, 'old', 'nothing that can be used');
    const { id, headers } = await keyWith(app, ['admin']);
    const { open, asked, text } = await slowServer();
    const type = `${mutation.charAt(0).toUpperCase()}${mutation.slice(1)}Input`;
    const document = `mutation ($input: ${type}!) { ${mutation}(input: $input) { __typename } }`;
    const answer = app.graphql(document, { input: inputOf(text) }, headers);
    await asked();
    await app.domain.apiKeys.revoke(systemCaller('command line'), id);
    open();
    expect((await answer).errors?.[0].extensions.code).toBe('UNAUTHENTICATED');
    expect(await clusters()).toMatchObject([{ name: 'old' }]);
    const row = await app.domain.database.prisma.cluster.findFirstOrThrow({ select: { credentialKind: true } });
    expect(row.credentialKind).toBe('UNUSABLE');
  });

  it('a caller who may not change the cluster causes no call, and one who may not use its credential causes no call with it', async () => {
    const { server, open, text } = await slowServer();
    open();
    await register(app, 'theirs', text);
    await register(app, 'mine', text);
    await defineRole(app, { name: 'reader', actions: ['clusters.read'] });
    await defineRole(app, { name: 'updater', actions: ['clusters.update'], clusters: { names: ['mine'] } });
    const { headers } = await keyWith(app, ['reader', 'updater']);
    const update = async (name: string, credential: object) => {
      const { data } = await app.graphql(
        `mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) { ... on Error { code } } }`,
        { input: { by: { name }, credential, verify: 'CONNECT' } },
        headers,
      );
      return data.updateCluster.code;
    };
    expect(await update('theirs', { kubeconfig: { text } })).toBe('FORBIDDEN');
    expect(await update('nobodys', { kubeconfig: { text } })).toBe('NOT_FOUND');
    expect(await update('theirs', { inCluster: false })).toBe('FORBIDDEN');
    expect(await update('mine', { inCluster: false })).toBe('FORBIDDEN');
    expect(server.requests).toEqual([]);
  });
});

it('a stream makes no live reads after the permission was revoked', async () => {
  const { server, open, text } = await slowServer();
  open();
  const id = await register(app, 'a', text);
  const role = (actions: ('clusters.read' | 'clusters.live')[]) => defineRole(app, { name: 'watcher', actions });
  await role(['clusters.read', 'clusters.live']);
  const { headers } = await keyWith(app, ['watcher']);
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const response = await fetch(`${app.url}/graphql`, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json', Accept: 'text/event-stream' },
    body: JSON.stringify({
      query: `subscription { clusterChanged { ... on ClusterUpserted { cluster { description live { version } } } } }`,
    }),
    signal: abort.signal,
  });
  const reader = response.body?.getReader();
  const [decoder, received]: [TextDecoder, string[]] = [new TextDecoder(), []];
  const heard = async (word: string) => {
    await app.rest('PUT', `${CLUSTERS}${id}`, { description: word });
    while (!received.some((text) => text.includes(word))) received.push(decoder.decode((await reader?.read())?.value));
    return received.find((text) => text.includes(word));
  };
  expect(await heard('before')).toContain('v1.31.0');
  await role(['clusters.read']);
  const asked = server.requests.length;
  expect(await heard('after')).toContain('"live":null');
  expect(server.requests.length).toBe(asked);
});

describe('requests that are cheap to send', () => {
  it('a value of a million spaces is refused at low cost', async () => {
    const { headers } = await keyWith(app, []);
    const { errors } = await app.graphql(
      'query ($n: Int) { clusters(first: $n) { totalCount } }',
      { n: ' '.repeat(1_000_000) },
      headers,
    );
    expect(errors).toHaveLength(1);
    expect(JSON.stringify(errors).length).toBeLessThan(1_000);
  });

  it('each requirement of a label selector is charged', async () => {
    const selector = Array.from({ length: 60 }, (_, index) => `!k${index}`).join();
    const list = (aliases: number) =>
      `{ ${Array.from({ length: aliases }, (_, index) => `a${index}: clusters(first: 1, filter: { labelSelector: "${selector}" }) { totalCount }`).join(' ')} }`;
    expect((await app.graphql(list(2))).errors).toBeUndefined();
    expect((await app.graphql(list(4))).errors?.[0].extensions.code).toBe('TOO_COSTLY');
  });

  it('a cached response is charged the same', async () => {
    const thrifty = await startApp({ GRAPHQL_COST_PER_MINUTE: '300' });
    onTestFinished(() => thrifty.close());
    const statuses: number[] = [];
    for (let asked = 0; asked < 20; asked++)
      statuses.push((await thrifty.graphql('{ clusters(first: 50) { nodes { name } } }')).status);
    expect(statuses[0]).toBe(200);
    expect(statuses.at(-1)).toBe(429);
  });
});

it('a caller who is refused many times hides neither the refusals of other callers nor the attempts of anonymous callers', async () => {
  const cookie = await signedInUser(app, 'noisy', ['viewer']);
  const headers = { ...cookie, 'Sec-Fetch-Site': 'same-origin' };
  const keys: string[] = [];
  for (let made = 0; made < 6; made++) {
    const { data } = await app.graphql(
      `mutation { createApiKey(input: { name: "k${made}", personal: true, roles: ["viewer"] }) { ... on CreateApiKeySuccess { text } } }`,
      {},
      headers,
    );
    keys.push(data.createApiKey.text);
  }
  const forbidden = (Authorization: string) =>
    app.graphql('mutation { deleteCluster(input: { by: { name: "x" } }) { __typename } }', {}, { Authorization });
  for (const key of keys) for (let asked = 0; asked < 20; asked++) await forbidden(key);
  const other = await keyWith(app, ['viewer']);
  await forbidden(other.headers.Authorization);
  await app.rest('POST', '/api/auth/login/password', { username: 'root', password: 'not the password' }, {});
  const { prisma } = app.domain.database;
  const refused = (where: object) => prisma.auditRecord.count({ where: { outcome: { not: 'DONE' }, ...where } });
  expect(await refused({ actorId: `api-key:${other.id}` })).toBe(1);
  expect(await refused({ action: 'session.begin' })).toBe(1);
});

it('a key stores each role once, and a limited number of roles', async () => {
  const cookie = await signedInUser(app, 'ada', ['viewer']);
  const make = (count: number) =>
    app.graphql(
      `mutation ($roles: [String!]!) { createApiKey(input: { name: "k", personal: true, roles: $roles }) {
        ... on CreateApiKeySuccess { apiKey { roles } } ... on Error { code } } }`,
      { roles: Array.from({ length: count }, () => 'viewer') },
      { ...cookie, 'Sec-Fetch-Site': 'same-origin' },
    );
  expect((await make(3)).data.createApiKey.apiKey.roles).toEqual(['viewer']);
  expect((await make(101)).data.createApiKey.code).toBe('INVALID_INPUT');
});

describe('requests before authentication', () => {
  const raw = (text: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(app.url).port), '127.0.0.1', () => socket.write(text));
      let answer = '';
      socket.on('data', (data) => (answer += data)).on('close', () => resolve(answer));
      socket.on('error', reject);
    });

  it('an Authorization header with many blanks is refused at low cost', async () => {
    for (const key of [`kite${' '.repeat(15_000)}x`, `Bearer ${' '.repeat(15_000)}kite`, 'kite1-x\u00a0'])
      expect((await app.rest('GET', CLUSTERS, undefined, { Authorization: key })).status).toBe(401);
  });

  it('the body of an anonymous caller must be small and uncompressed', async () => {
    const login = '/api/auth/login/password';
    const body = JSON.stringify({ username: 'x', password: 'y', more: 'z'.repeat(16 * 1024) });
    expect((await app.rest('POST', login, body, {})).status).toBe(413);
    const packed = gzipSync(JSON.stringify({ username: 'x', password: 'y' }));
    const response = await fetch(`${app.url}${login}`, {
      ...{ method: 'POST', headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, body: packed },
    });
    expect(response.status).toBe(415);
  });

  it('a request with two Host headers has no valid host', async () => {
    const answer = await raw(
      'GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
  });

  it.each([
    ['CF-Connecting-IP: 192.0.2.1', '1.1'],
    ['X-Envoy-External-Address: 192.0.2.1', '1.1'],
    ['Accept: */*', '1.0'],
  ])('a request that a proxy forwards (%s, HTTP/%s) is not local', async (header, version) => {
    const body = JSON.stringify({ username: 'first', password: 'a long password' });
    const answer = await raw(
      `POST /api/v1/admin/users/create_super_user HTTP/${version}\r\nHost: localhost\r\n${header}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 403 /);
  });
});

it('a body that curl sends with a key is read as JSON, and a REST scope narrows the key', async () => {
  const { status, body } = await app.rest('POST', '/api/v1/admin/apikeys/', {
    ...{ name: 'narrow', roles: ['admin'], scopes: ['CLUSTERS_READ', 'REST_USE'] },
  });
  expect(status).toBe(201);
  const Authorization = body.apiKey.key as string;
  expect((await app.rest('POST', CLUSTERS, { name: 'x' }, { Authorization })).status).toBe(403);
  expect((await app.rest('POST', '/api/v1/admin/apikeys/', { name: 'y', scopes: ['NO_SUCH'] })).status).toBe(400);
  const asked = await fetch(`${app.url}/graphql`, {
    ...{ method: 'POST', headers: { Authorization, 'Content-Type': 'application/x-www-form-urlencoded' } },
    body: JSON.stringify({ query: '{ clusters { totalCount } }' }),
  });
  expect(await asked.json()).toEqual({ data: { clusters: { totalCount: 0 } } });
});
