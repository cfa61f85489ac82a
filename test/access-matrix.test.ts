import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../src/graphql/schema.ts';
import { ROWS } from '../src/rest/routes.ts';
import { SIGN_IN_ROUTES } from '../src/rest/sign-in.ts';
import { startApp, type TestApp } from './support/app.ts';
import { follow } from './support/followed-changes.ts';
import { defineRole, keyWith, PASSWORD, signedInUser } from './support/users.ts';

/** The callers of the matrix. The roles of `byName`, `byGlob` and `byLabel` are scoped to the staging clusters. */
const CALLERS = ['anonymous', 'withoutRole', 'viewer', 'byName', 'byGlob', 'byLabel', 'admin'] as const;
type CallerName = (typeof CALLERS)[number];
type Line = Readonly<Record<CallerName, unknown>>;

const SCOPED = {
  byName: {
    actions: ['clusters.read', 'clusters.live', 'clusters.update', 'clusters.delete', 'audit.read'],
    names: ['staging-eu'],
  },
  byGlob: { actions: ['clusters.read', 'clusters.update'], names: ['staging-*'] },
  byLabel: { actions: ['clusters.read', 'audit.read'], labelSelector: 'env = staging' },
} as const;
const ROLE_OF: Partial<Record<CallerName, string>> = {
  ...{ viewer: 'viewer', byName: 'by-name', byGlob: 'by-glob', byLabel: 'by-label', admin: 'admin' },
};

let app: TestApp;
/** The request headers of each caller, with an API key and with a session. */
const headers: Record<string, Record<CallerName, Record<string, string>>> = {};
const ids: Record<string, string> = {};

beforeAll(async () => {
  app = await startApp();
  for (const [name, env] of [
    ['staging-eu', 'staging'],
    ['staging-us', 'staging'],
    ['prod-eu', 'prod'],
  ]) {
    const { data } = await app.graphql(
      `mutation ($input: CreateClusterInput!) { createCluster(input: $input) { ... on CreateClusterSuccess { cluster { id } } } }`,
      { input: { name, labels: [{ key: 'env', value: env }], verify: 'NONE', isDefault: name === 'prod-eu' } },
    );
    ids[name ?? ''] = data.createCluster.cluster.id;
  }
  for (const [caller, { actions, ...clusters }] of Object.entries(SCOPED))
    await defineRole(app, {
      name: ROLE_OF[caller as CallerName] ?? '',
      actions: [...actions],
      clusters: clusters as object,
    });
  const [key, session] = [{ anonymous: {} }, { anonymous: {} }] as Record<CallerName, Record<string, string>>[];
  for (const caller of CALLERS.slice(1)) {
    const roles = ROLE_OF[caller] ? [ROLE_OF[caller]] : [];
    Object.assign(key ?? {}, { [caller]: (await keyWith(app, roles)).headers });
    Object.assign(session ?? {}, { [caller]: await signedInUser(app, caller, roles) });
  }
  Object.assign(headers, { key, session });
});
afterAll(() => app.close());

/** Expected result per caller. Callers without an entry get the default result; `anonymous` is unauthenticated. */
const line = (withoutRole: unknown, others: Partial<Line>): Line => ({
  ...{
    anonymous: 'UNAUTHENTICATED',
    withoutRole,
    viewer: withoutRole,
    byName: withoutRole,
    byGlob: withoutRole,
    byLabel: withoutRole,
    admin: withoutRole,
  },
  ...others,
});
const ALL = ['staging-eu', 'staging-us', 'prod-eu'];
const STAGING = ['staging-eu', 'staging-us'];
/** The clusters that each caller can read. */
const SEEN = line([], { viewer: ALL, byName: ['staging-eu'], byGlob: STAGING, byLabel: STAGING, admin: ALL });
const seen = (show: (names: readonly string[]) => unknown): Line =>
  Object.fromEntries(
    CALLERS.map((caller) => [caller, Array.isArray(SEEN[caller]) ? show(SEEN[caller]) : SEEN[caller]]),
  ) as Line;
const adminOnly = (admin: unknown, withoutRole: unknown = 'Forbidden') => line(withoutRole, { admin });

interface Question {
  /** One root field. `$id` is the id of staging-us, `$hidden` the id of prod-eu. */
  readonly field: string;
  // biome-ignore lint/suspicious/noExplicitAny: each case reads a result of another type.
  readonly show: (value: any) => unknown;
  readonly gets: Line;
}

const namesOf = (nodes: ({ name: string } | null)[]) => nodes.map((node) => node?.name ?? null);
const query = (field: string, show: Question['show'], gets: Line): Question => ({ field, show, gets });
/**
 * The same mutation on staging-eu (visible to all scoped roles) and on prod-eu (hidden from them). It changes nothing.
 */
const change = (field: (by: string) => string, gets: Line): Question => ({
  field: `{ a: ${field('{ name: "staging-eu" }')} { __typename } b: ${field('{ name: "prod-eu" }')} { __typename } }`,
  show: ({ a, b }) => `${kind(a)} ${kind(b)}`,
  gets,
});
const command = (field: string, gets: Line): Question => ({ field, show: kind, gets });
const kind = ({ __typename: name = '' }: { __typename?: string }) => name.replace(/Error$|.*(?=Success)/, '');

const QUESTIONS: Record<string, Question> = {
  'Query.viewer': query('viewer { roles }', (viewer) => viewer?.roles ?? null, {
    ...line([], {}),
    anonymous: null,
    ...Object.fromEntries(Object.entries(ROLE_OF).map(([caller, role]) => [caller, [role]])),
  }),
  'Query.node': query(
    'node(id: $hidden) { ... on Cluster { name } }',
    (node) => node?.name ?? null,
    line(null, { viewer: 'prod-eu', admin: 'prod-eu' }),
  ),
  'Query.nodes': query(
    'nodes(ids: [$hidden, $id]) { ... on Cluster { name } }',
    namesOf,
    seen((names) => ['prod-eu', 'staging-us'].map((name) => (names.includes(name) ? name : null))),
  ),
  'Query.cluster': query(
    'cluster(by: { name: "staging-us" }) { name }',
    (cluster) => cluster?.name ?? null,
    seen((names) => (names.includes('staging-us') ? 'staging-us' : null)),
  ),
  'Query.defaultCluster': query(
    'defaultCluster { name }',
    (cluster) => cluster?.name ?? null,
    line(null, { viewer: 'prod-eu', admin: 'prod-eu' }),
  ),
  'Query.clusters': query(
    'clusters(filter: { search: "EU" }) { totalCount stateCounts { count } nodes { name } }',
    ({ totalCount, stateCounts, nodes }) => [
      totalCount,
      stateCounts.map(({ count }: { count: number }) => count),
      namesOf(nodes),
    ],
    seen((all) => {
      const names = all.filter((name) => name.endsWith('eu'));
      return [names.length, names.length === 0 ? [] : [names.length], names];
    }),
  ),
  'Query.users': query('users { username }', (users) => users.length > 0, adminOnly(true, false)),
  'Query.roles': query('roles { name }', (roles) => roles.length > 0, adminOnly(true, false)),
  'Query.apiKeys': query('apiKeys { name }', (keys) => keys.length > 0, adminOnly(true, false)),
  'Query.auditLog': query(
    'auditLog(first: 100, filter: { action: "cluster.create", outcome: "DONE" }) { totalCount nodes { clusterName } edges { cursor } }',
    ({ totalCount, nodes, edges }) => [
      ...[totalCount, edges.length],
      nodes.map(({ clusterName }: { clusterName: string }) => clusterName).sort(),
    ],
    line([0, 0, []], {
      ...{ byName: [1, 1, ['staging-eu']], byLabel: [2, 2, STAGING] },
      admin: [3, 3, [...ALL].sort()],
    }),
  ),
  'Mutation.createCluster': command('createCluster(input: { name: "" }) { __typename }', adminOnly('InvalidInput')),
  'Mutation.importClusters': command('importClusters(input: {}) { __typename }', adminOnly('InvalidInput')),
  'Mutation.updateCluster': change((by) => `updateCluster(input: { by: ${by}, description: "" })`, {
    ...adminOnly('Success Success', 'Forbidden Forbidden'),
    ...{ byName: 'Success NotFound', byGlob: 'Success NotFound' },
  }),
  'Mutation.deleteCluster': change((by) => `deleteCluster(input: { by: ${by}, expectedRevision: 99 })`, {
    ...adminOnly('RevisionConflict RevisionConflict', 'Forbidden Forbidden'),
    byName: 'RevisionConflict NotFound',
  }),
  'Mutation.confirmClusterIdentity': change(
    (by) => `confirmClusterIdentity(input: { by: ${by}, expectedRevision: 99 })`,
    {
      ...adminOnly('RevisionConflict RevisionConflict', 'Forbidden Forbidden'),
      ...{ byName: 'RevisionConflict NotFound', byGlob: 'RevisionConflict NotFound' },
    },
  ),
  'Mutation.testClusterConnection': change((by) => `testClusterConnection(input: { cluster: ${by} })`, {
    ...adminOnly('ConnectionFailed ConnectionFailed', 'Forbidden Forbidden'),
    byName: 'ConnectionFailed NotFound',
  }),
  'Mutation.probeCluster': change((by) => `probeCluster(input: { by: ${by} })`, {
    ...adminOnly('Success Success', 'Forbidden Forbidden'),
    byName: 'Success NotFound',
  }),
  'Mutation.createUser': command('createUser(input: { username: "" }) { __typename }', adminOnly('InvalidInput')),
  'Mutation.updateUser': command(
    'updateUser(input: { username: "none", name: "x" }) { __typename }',
    adminOnly('NotFound'),
  ),
  'Mutation.deleteUser': command('deleteUser(input: { username: "none" }) { __typename }', adminOnly('NotFound')),
  // Only a user has a password. The test contains the expected result for sessions.
  'Mutation.changePassword': command(
    `changePassword(input: { oldPassword: "${PASSWORD}", newPassword: "" }) { __typename }`,
    line('Forbidden', {}),
  ),
  'Mutation.defineRole': command(
    'defineRole(input: { name: "admin", actions: [CLUSTERS_READ] }) { __typename }',
    adminOnly('InvalidInput'),
  ),
  'Mutation.deleteRole': command('deleteRole(input: { name: "none" }) { __typename }', adminOnly('NotFound')),
  'Mutation.createApiKey': command('createApiKey(input: { name: "" }) { __typename }', adminOnly('InvalidInput')),
  'Mutation.revokeApiKey': command('revokeApiKey(input: { databaseId: 4711 }) { __typename }', line('NotFound', {})),
};

const REFUSED = line(403, { anonymous: 401 });
/** Expected response of each REST route: the status, or the status and the names of the listed clusters. */
const ROW_LINES: Record<string, Line> = {
  'GET /api/v1/admin/clusters/': { ...REFUSED, admin: [200, ALL] },
  'POST /api/v1/admin/clusters/': { ...REFUSED, admin: 400 },
  'PUT /api/v1/admin/clusters/:id': { ...REFUSED, admin: 404 },
  'DELETE /api/v1/admin/clusters/:id': { ...REFUSED, admin: 404 },
  'POST /api/v1/admin/clusters/import': { ...REFUSED, admin: 400 },
  'GET /api/v1/admin/apikeys/': { ...REFUSED, admin: 200 },
  'POST /api/v1/admin/apikeys/': { ...REFUSED, admin: 400 },
  'DELETE /api/v1/admin/apikeys/:id': { ...REFUSED, admin: 404 },
  'GET /api/v1/clusters': { ...seen((names) => [200, [...names].sort()]), anonymous: 401 },
};

/** Expected status of each sign-in route. `session` applies where a session gets another status than an API key. */
const SIGN_IN_LINES: Record<string, { anonymous: number; others: number; session?: number }> = {
  'GET /api/v1/init_check': { anonymous: 200, others: 200 },
  'POST /api/v1/admin/users/create_super_user': { anonymous: 400, others: 400 },
  'GET /api/auth/providers': { anonymous: 200, others: 200 },
  'POST /api/auth/login/password': { anonymous: 400, others: 400 },
  'GET /api/auth/login': { anonymous: 404, others: 404 },
  'GET /api/auth/callback': { anonymous: 400, others: 400 },
  'GET /api/auth/user': { anonymous: 401, others: 200 },
  'POST /api/auth/refresh': { anonymous: 401, others: 401, session: 200 },
  // This entry must be the last one, because it ends the session.
  'POST /api/auth/logout': { anonymous: 401, others: 200 },
};

const roots = [schema.getQueryType(), schema.getMutationType()].flatMap((type) =>
  Object.keys(type?.getFields() ?? {}).map((field) => `${type?.name}.${field}`),
);
const nameOf = ({ method, path }: { method: string; path: string }) => `${method.toUpperCase()} ${path}`;

it('the access matrix covers every root field and every route, and nothing else', () => {
  expect(Object.keys(QUESTIONS).sort()).toEqual(roots.sort());
  expect(Object.keys(ROW_LINES).sort()).toEqual(ROWS.map(nameOf).sort());
  expect(Object.keys(SIGN_IN_LINES).sort()).toEqual(SIGN_IN_ROUTES.map(nameOf).sort());
  expect(Object.keys(schema.getSubscriptionType()?.getFields() ?? {})).toEqual(['clusterChanged']);
});

describe.each(['key', 'session'])('access with a %s', (surface) => {
  describe.each(Object.entries(QUESTIONS))('%s', (name, { field, show, gets }) => {
    const operation = name.startsWith('Query') ? 'query' : 'mutation';
    const isBlock = field.startsWith('{');
    const variables = ['id', 'hidden'].filter((variable) => field.includes(`$${variable}`));
    const declared = variables.length > 0 ? `(${variables.map((variable) => `$${variable}: ID!`).join()})` : '';
    const document = `${operation} ${declared} ${isBlock ? field : `{ ${field} }`}`;

    it.each(CALLERS)(`${name} with a ${surface} returns what the matrix expects for %s`, async (caller) => {
      const given = { id: ids['staging-us'], hidden: ids['prod-eu'] };
      const { data, errors } = await app.graphql(document, given, headers[surface]?.[caller]);
      const value = isBlock ? data : Object.values(data ?? {})[0];
      const shown = errors ? errors[0]?.extensions.code : show(value);
      const bySession = surface === 'session' && name === 'Mutation.changePassword' && caller !== 'anonymous';
      expect(shown).toEqual(bySession ? 'InvalidInput' : gets[caller]);
    });
  });

  it.each(CALLERS.slice(1))('%s reads live data of a cluster only if a role allows it', async (caller) => {
    const document =
      '{ a: cluster(by: { name: "staging-eu" }) { live { version } } b: cluster(by: { name: "staging-us" }) { live { version } } }';
    const { data } = await app.graphql(document, {}, headers[surface]?.[caller]);
    const asked = [data.a, data.b].map((cluster) => (cluster?.live ?? null) !== null);
    expect(asked).toEqual([['byName', 'admin'].includes(caller), caller === 'admin']);
  });

  describe.each(Object.entries(ROW_LINES))('%s', (name, gets) => {
    it.each(CALLERS)(`${name} with a ${surface} returns the expected status to %s`, async (caller) => {
      const [method = '', path = ''] = name.split(' ');
      const body = ['POST', 'PUT'].includes(method) ? {} : undefined;
      const answer = await app.rest(method, path.replace(':id', '4711'), body, headers[surface]?.[caller]);
      const shown = Array.isArray(gets[caller]) ? [answer.status, namesOf(answer.body)] : answer.status;
      expect(shown).toEqual(gets[caller]);
    });
  });

  it.each(CALLERS)('%s receives changes only of clusters that they can read', async (caller) => {
    const { events, ended } = await follow(app, headers[surface]?.[caller] ?? {});
    const names = SEEN[caller];
    if (!Array.isArray(names)) return expect(await ended.then(events)).toEqual([names]);
    const witness = await follow(app, { Authorization: app.admin });
    for (const name of ALL) await app.graphql(TOUCH, { name, text: `${surface} ${caller}` });
    const expected = (of: readonly string[]) => of.map((name) => `+${name}`).sort();
    const heard = ({ events }: Pick<typeof witness, 'events'>) => [...new Set(events())].sort();
    await expect.poll(() => heard(witness)).toEqual(expected(ALL));
    await expect.poll(() => heard({ events })).toEqual(expected(names));
  });

  describe.each(Object.entries(SIGN_IN_LINES))('%s', (name, gets) => {
    it.each(CALLERS)(`${name} with a ${surface} returns the expected sign-in status to %s`, async (caller) => {
      const [method = '', path = ''] = name.split(' ');
      const { status } = await app.rest(method, path, method === 'POST' ? {} : undefined, headers[surface]?.[caller]);
      const others = surface === 'session' ? (gets.session ?? gets.others) : gets.others;
      expect(status).toBe(caller === 'anonymous' ? gets.anonymous : others);
    });
  });
});

const TOUCH = `mutation ($name: String!, $text: String!) { updateCluster(input: { by: { name: $name }, description: $text }) { __typename } }`;
