import { afterAll, beforeAll, expect, it } from 'vitest';
import { ERROR_CODES, type ErrorCode } from '../src/domain/errors.ts';
import { ERRORS } from '../src/graphql/errors.ts';
import { CLUSTERS, type GraphQLResponse, startApp, type TestApp, type TestResponse } from './support/app.ts';
import { whileReadOnly } from './support/database.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { kubeconfigOf } from './support/live.ts';
import { kubernetes, refusingPort, standIn } from './support/stand-in.ts';
import { keyWith } from './support/users.ts';
import { resultsOf, subscribe } from './support/wire.ts';

let app: TestApp;
let first: { databaseId: number; revision: number };
/** A key of an admin that may use the REST routes, but not create clusters. */
let restOnly: Record<string, string>;
beforeAll(async () => {
  app = await startApp();
  const made = await create({ name: 'first', isDefault: true, verify: 'NONE' });
  await create({ name: 'second', verify: 'NONE' });
  first = made.data.createCluster.cluster;
  restOnly = (await keyWith(app, ['admin'], { scopes: ['rest.use'] })).headers;
});
afterAll(() => app.close());

interface Case {
  /** Omitted for sign-in, which is not a GraphQL operation. */
  readonly graphql?: () => Promise<GraphQLResponse>;
  /** Omitted if no REST request can cause the error. */
  readonly rest?: () => Promise<TestResponse>;
}

const refusal = '__typename ... on Error { code message }';
const mutate = (field: string, type: string, input: object, headers?: Record<string, string>) =>
  app.graphql(`mutation ($input: ${type}!) { ${field}(input: $input) { ${refusal} } }`, { input }, headers);
const create = (input: object, headers?: Record<string, string>) =>
  app.graphql(
    `mutation ($input: CreateClusterInput!) { createCluster(input: $input) {
      ${refusal} ... on CreateClusterSuccess { cluster { databaseId revision } } } }`,
    { input },
    headers,
  );
const update = (input: object) => mutate('updateCluster', 'UpdateClusterInput', input);
const remove = (databaseId: number) => mutate('deleteCluster', 'DeleteClusterInput', { by: { databaseId } });

async function openTooManyStreams(): Promise<GraphQLResponse> {
  const open = () =>
    subscribe(app, 'subscription { clusterChanged { __typename } }', { Authorization: app.keyWithoutRole });
  const streams = await Promise.all(Array.from({ length: 50 }, open));
  const refused = await open();
  const [result] = (await resultsOf(refused)) as Pick<GraphQLResponse, 'data' | 'errors'>[];
  for (const { body } of streams) await body?.cancel();
  return { status: refused.status, headers: refused.headers, data: null, ...result };
}

/** A credential of a cluster with this UID in its kube-system namespace. */
async function credentialFor(uid: string): Promise<object> {
  const server = await standIn(kubernetes({ kubeSystem: [200, { kind: 'Namespace', metadata: { uid } }] }));
  return { credential: { kubeconfig: { text: kubeconfigOf(server.target()) } }, verify: 'CONNECT' };
}

async function changeToAnotherCluster(): Promise<GraphQLResponse> {
  await create({ name: 'known', ...(await credentialFor('uid-1')) });
  await mutate('probeCluster', 'ProbeClusterInput', { by: { name: 'known' } });
  return update({ by: { name: 'known' }, ...(await credentialFor('uid-2')) });
}

async function createUnreachable(): Promise<GraphQLResponse> {
  const text = kubeconfig({ cluster: { server: `https://127.0.0.1:${await refusingPort()}` } });
  return create({ name: 'x', credential: { kubeconfig: { text } }, verify: 'CONNECT' });
}

const signIn = (username: string) =>
  app.rest('POST', '/api/auth/login/password', { username, password: 'not the password' }, {});

/**
 * Signs in with a wrong password until an attempt is throttled. On a slow machine the first waits expire before the
 * next attempt.
 */
async function tooManyAttempts(): Promise<TestResponse> {
  let answer = await signIn('somebody');
  for (let failed = 1; failed < 15 && answer.status !== 429; failed++) answer = await signIn('somebody');
  return answer;
}

async function setUpTwice(): Promise<TestResponse> {
  const createSuperUser = (username: string) =>
    app.rest('POST', '/api/v1/admin/users/create_super_user', { username, password: 'a long password' }, {});
  await createSuperUser('first');
  return createSuperUser('second');
}

/** Deletes the only user, an admin, which is refused. */
async function deleteLastAdmin(): Promise<GraphQLResponse> {
  await setUpTwice();
  return mutate('deleteUser', 'DeleteUserInput', { username: 'first' });
}

const readOnly = <T>(run: () => Promise<T>) => whileReadOnly(app.domain.database, run);

/** How a caller can cause each code, with the same mistake through GraphQL and REST. */
const CASES: Record<ErrorCode, Case> = {
  INVALID_INPUT: {
    graphql: () => create({ name: ' ', verify: 'NONE' }),
    rest: () => app.rest('POST', CLUSTERS, { name: ' ' }),
  },
  UNAUTHENTICATED: {
    graphql: () => create({ name: 'x' }, { Authorization: 'kite1-x' }),
    rest: () => app.rest('POST', CLUSTERS, { name: 'x' }, { Authorization: 'kite1-x' }),
  },
  FORBIDDEN: {
    graphql: () => create({ name: 'x' }, restOnly),
    rest: () => app.rest('POST', CLUSTERS, { name: 'x' }, restOnly),
  },
  NOT_FOUND: {
    graphql: () => remove(4711),
    rest: () => app.rest('DELETE', `${CLUSTERS}4711`),
  },
  NAME_TAKEN: {
    graphql: () => create({ name: 'first', verify: 'NONE' }),
    rest: () => app.rest('POST', CLUSTERS, { name: 'first' }),
  },
  DEFAULT_CLUSTER: {
    graphql: () => remove(first.databaseId),
    rest: () => app.rest('DELETE', `${CLUSTERS}${first.databaseId}`),
  },
  REGISTRY_NOT_EMPTY: {
    graphql: () => mutate('importClusters', 'ImportClustersInput', { kubeconfig: kubeconfig(), onlyIfEmpty: true }),
    rest: () => app.rest('POST', `${CLUSTERS}import`, { config: kubeconfig() }),
  },
  REVISION_CONFLICT: {
    graphql: () => update({ by: { name: 'first' }, expectedRevision: first.revision + 1, description: 'new' }),
  },
  CONNECTION_FAILED: { graphql: createUnreachable },
  DIFFERENT_CLUSTER: { graphql: changeToAnotherCluster },
  TOO_MANY_STREAMS: { graphql: openTooManyStreams },
  CREDENTIALS_WRONG: { rest: () => signIn('nobody') },
  TOO_MANY_ATTEMPTS: { rest: tooManyAttempts },
  ALREADY_SET_UP: { rest: setUpTwice },
  LAST_ADMIN: { graphql: deleteLastAdmin },
  UNAVAILABLE: {
    graphql: () => readOnly(() => create({ name: 'third', verify: 'NONE' })),
    rest: () => readOnly(() => app.rest('POST', CLUSTERS, { name: 'third' })),
  },
};

it.each(ERROR_CODES)('%s has the same message and meaning in GraphQL and REST', async (code) => {
  const { type, status } = ERRORS[code];
  const { graphql, rest } = CASES[code];
  const asked = await graphql?.();
  const answer = await rest?.();
  if (!asked) return expect(answer).toMatchObject({ status, body: { error: expect.stringMatching(/\S/) } });
  const { data, errors } = asked;
  const [member] = Object.values<{ __typename: string; code: string; message: string }>(data ?? {});
  const shown = type === null ? { ...errors?.[0], code: errors?.[0]?.extensions.code, __typename: null } : member;
  expect(shown).toMatchObject({ __typename: type, code, message: expect.stringMatching(/\S/) });
  if (type !== null) expect(errors).toBeUndefined();
  if (answer) expect([answer.status, answer.body]).toEqual([status, { error: shown?.message }]);
});

it('updates and imports report the same errors in GraphQL and REST', async () => {
  const same = async (graphql: Promise<GraphQLResponse>, rest: Promise<TestResponse>) => {
    const [refused] = Object.values<{ code: ErrorCode; message: string }>((await graphql).data);
    const { status, body } = await rest;
    expect([status, body]).toEqual([ERRORS[refused?.code ?? 'UNAVAILABLE'].status, { error: refused?.message }]);
  };
  const by = { databaseId: first.databaseId };
  const path = `${CLUSTERS}${first.databaseId}`;
  await same(update({ by, name: 'second' }), app.rest('PUT', path, { name: 'second' }));
  await same(update({ by, prometheusURL: 'ftp://p' }), app.rest('PUT', path, { prometheusURL: 'ftp://p' }));
  await same(update({ by: { databaseId: 4711 } }), app.rest('PUT', `${CLUSTERS}4711`, {}));
});

it('GraphQL and REST both reject a request without credentials', async () => {
  const { errors } = await app.graphql('{ defaultCluster { name } }', {}, {});
  expect(errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
  expect((await app.rest('GET', CLUSTERS, undefined, {})).status).toBe(ERRORS.UNAUTHENTICATED.status);
});
