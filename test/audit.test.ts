import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { rootFieldOf } from '../src/graphql/document-facts.ts';
import { schema } from '../src/graphql/schema.ts';
import { ROWS } from '../src/rest/routes.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { createUser, defineRole, keyWith, PASSWORD, signedInUser, signIn } from './support/users.ts';
import { freshApp } from './support/wire.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const LOG = `query ($first: Int, $after: String, $last: Int, $before: String, $filter: AuditFilter) {
  auditLog(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    totalCount pageInfo { hasNextPage hasPreviousPage endCursor startCursor }
    nodes { databaseId at actorId actorName userId apiKeyId action outcome clusterId clusterDatabaseId clusterName address requestId changes }
  } }`;
const log = async (filter: object = {}, page: object = {}, of = app) => {
  const { data, errors } = await of.graphql(LOG, { filter, ...page });
  expect(errors).toBeUndefined();
  return data.auditLog;
};

describe('an audit record', () => {
  it('an audit record holds actor, action, cluster, time, address, key, and old and new values', async () => {
    const before = new Date();
    const { id, headers } = await keyWith(app, ['admin']);
    const made = await app.rest('POST', CLUSTERS, { name: 'one', config: kubeconfig() }, headers);
    const changed = await app.rest('PUT', `${CLUSTERS}${made.body.id}`, { name: 'uno', config: 'none' }, headers);
    const { nodes } = await log({ cluster: { databaseId: made.body.id } });
    expect(nodes).toMatchObject([
      {
        ...{ actorId: `api-key:${id}`, actorName: 'key of admin', userId: null, apiKeyId: id },
        ...{ action: 'cluster.update', outcome: 'DONE', clusterDatabaseId: made.body.id, clusterName: 'one' },
        ...{ address: '127.0.0.1', requestId: changed.headers.get('x-request-id') },
        changes: { name: { from: 'one', to: 'uno' }, credential: 'changed' },
      },
      { action: 'cluster.create', changes: { name: { to: 'one' }, credential: 'changed' } },
    ]);
    expect(new Date(nodes[1].at).getTime()).toBeGreaterThanOrEqual(before.getTime());
    const { data } = await app.graphql('{ cluster(by: { name: "uno" }) { id } }');
    expect(nodes[0].clusterId).toBe(data.cluster.id);
  });

  it('an audit record names the user whose personal API key was used', async () => {
    const headers = await signedInUser(app, 'ann', ['admin']);
    const { data } = await app.graphql(
      'mutation { createApiKey(input: { name: "mine", roles: ["admin"], personal: true }) { ... on CreateApiKeySuccess { text apiKey { databaseId } } } }',
      {},
      headers,
    );
    const { text, apiKey } = data.createApiKey;
    await app.rest('POST', CLUSTERS, { name: 'by ann’s key' }, { Authorization: text });
    const { id } = await app.domain.database.prisma.user.findUniqueOrThrow({ where: { username: 'ann' } });
    const { nodes } = await log({ actor: `user:${id}`, action: 'cluster.create' });
    expect(nodes).toMatchObject([{ actorId: `api-key:${apiKey.databaseId}`, userId: id, apiKeyId: apiKey.databaseId }]);
    expect((await log({ actor: 'ann' })).nodes.map(({ action }: { action: string }) => action)).toEqual([
      'api-key.create',
      'session.begin',
    ]);
  });

  it('a refused attempt is recorded with its error code, through REST and GraphQL', async () => {
    const { headers, id } = await keyWith(app, ['viewer']);
    const { body } = await app.rest('POST', CLUSTERS, { name: 'safe' });
    await app.rest('DELETE', `${CLUSTERS}${body.id}`, undefined, headers);
    await app.graphql('mutation { deleteCluster(input: { by: { name: "safe" } }) { __typename } }', {}, headers);
    await app.graphql('mutation { createUser(input: { username: "x" }) { __typename } }', {}, headers);
    const { nodes } = await log({ actor: `api-key:${id}`, outcome: 'FORBIDDEN' });
    expect(nodes).toMatchObject([
      { action: 'user.create', clusterName: null },
      { action: 'cluster.delete', clusterName: 'safe', clusterDatabaseId: body.id },
      { action: 'cluster.delete', clusterName: 'safe', clusterDatabaseId: body.id },
    ]);
  });

  const shop = 'by: { name: "shop" }';
  /** For each mutation an input that is refused to a key that holds nothing but ACCESS_MANAGE. */
  const refused: Record<string, { input: string; action: string; cluster?: string }> = {
    createCluster: { input: 'name: "x"', action: 'cluster.create' },
    updateCluster: { input: shop, action: 'cluster.update', cluster: 'shop' },
    deleteCluster: { input: shop, action: 'cluster.delete', cluster: 'shop' },
    importClusters: { input: 'inCluster: true', action: 'cluster.import' },
    testClusterConnection: { input: 'cluster: { name: "shop" }', action: 'cluster.test', cluster: 'shop' },
    probeCluster: { input: shop, action: 'cluster.probe', cluster: 'shop' },
    confirmClusterIdentity: { input: shop, action: 'cluster.confirm-identity', cluster: 'shop' },
    createUser: { input: 'username: "x", roles: ["admin"]', action: 'user.create' },
    updateUser: { input: 'username: "root", name: "x"', action: 'user.update' },
    deleteUser: { input: 'username: "root"', action: 'user.delete' },
    changePassword: { input: 'oldPassword: "x", newPassword: "x"', action: 'user.change-password' },
    defineRole: { input: 'name: "x", actions: [CLUSTERS_UPDATE]', action: 'role.define' },
    deleteRole: { input: 'name: "editor"', action: 'role.delete' },
    createApiKey: { input: 'name: "x", roles: ["admin"]', action: 'api-key.create' },
    revokeApiKey: { input: 'databaseId: 1', action: 'api-key.revoke' },
  };

  it('every mutation records a refusal with its own action, and with the cluster that it is about', async () => {
    const own = await freshApp();
    await createUser(own, 'root', ['admin']);
    await defineRole(own, { name: 'editor', actions: ['clusters.update'] });
    expect(Object.keys(refused).sort()).toEqual(Object.keys(schema.getMutationType()?.getFields() ?? {}).sort());
    await own.rest('POST', CLUSTERS, { name: 'shop', enabled: false });
    const { id, headers } = await keyWith(own, ['admin'], { scopes: ['access.manage'] });
    for (const [mutation, { input, action, cluster = null }] of Object.entries(refused)) {
      const { data } = await own.graphql(`mutation { ${mutation}(input: { ${input} }) { __typename } }`, {}, headers);
      expect(data?.[mutation].__typename, mutation).toBe('ForbiddenError');
      const { nodes } = await log({ actor: `api-key:${id}` }, { first: 1 }, own);
      expect(nodes, mutation).toMatchObject([{ action, outcome: 'FORBIDDEN', clusterName: cluster }]);
    }
    expect(await log({ actor: `api-key:${id}` }, {}, own)).toMatchObject({ totalCount: Object.keys(refused).length });
  });

  it('every REST route that changes something records a refusal with the action of its mutation', async () => {
    const own = await freshApp();
    const { id, headers } = await keyWith(own, []);
    for (const { method, path, document } of ROWS.filter(({ method }) => method !== 'get')) {
      expect((await own.rest(method.toUpperCase(), path.replace(':id', '1'), {}, headers)).status).toBe(403);
      const mutation = rootFieldOf(document, undefined).replace('mutation ', '');
      const { nodes } = await log({ actor: `api-key:${id}` }, { first: 1 }, own);
      expect(nodes, path).toMatchObject([{ action: refused[mutation]?.action, outcome: 'FORBIDDEN' }]);
    }
  });

  it('a failed sign-in is recorded with the username only if a user has that name', async () => {
    const own = await freshApp();
    await createUser(own, 'ann');
    for (const username of ['ann', PASSWORD])
      await own.rest('POST', '/api/auth/login/password', { username, password: 'wrong' }, {});
    const { nodes } = await log({ action: 'session.begin' }, {}, own);
    expect(nodes).toMatchObject([
      { actorId: 'stranger', outcome: 'CREDENTIALS_WRONG', changes: {}, address: '127.0.0.1' },
      { actorId: 'stranger', outcome: 'CREDENTIALS_WRONG', changes: { user: { to: 'ann' } } },
    ]);
    await signIn(own, 'ann');
    expect((await log({ action: 'session.begin' }, { first: 1 }, own)).nodes).toMatchObject([
      { actorName: 'ann', outcome: 'DONE' },
    ]);
  });

  it('a wrong old password and a throttled password change are recorded with the user', async () => {
    const own = await freshApp();
    const headers = await signedInUser(own, 'ann');
    const change = (newPassword: string) =>
      own.graphql(
        'mutation ($i: ChangePasswordInput!) { changePassword(input: $i) { __typename } }',
        { i: { oldPassword: 'canary-wrong', newPassword } },
        headers,
      );
    await change('short');
    for (let tried = 0; tried < 6; tried++) await change('another correct horse');
    const { nodes } = await log({ action: 'user.change-password' }, {}, own);
    expect(nodes).toHaveLength(6);
    expect(nodes[0]).toMatchObject({ actorName: 'ann', outcome: 'TOO_MANY_ATTEMPTS', changes: {} });
    for (const node of nodes.slice(1)) expect(node).toMatchObject({ actorName: 'ann', outcome: 'CREDENTIALS_WRONG' });
    expect(JSON.stringify(nodes)).not.toContain('canary');
  });

  it('an attempt to remove the last admin is recorded', async () => {
    const own = await freshApp();
    await createUser(own, 'root', ['admin']);
    await own.graphql('mutation { updateUser(input: { username: "root", disabled: true }) { __typename } }');
    await own.graphql('mutation { deleteUser(input: { username: "root" }) { __typename } }');
    expect((await log({ outcome: 'LAST_ADMIN' }, {}, own)).nodes).toMatchObject([
      { action: 'user.delete', actorName: 'test admin' },
      { action: 'user.update', actorName: 'test admin' },
    ]);
  });

  it('an audit record belongs to the transaction of its change and is rolled back with it', async () => {
    const own = await freshApp();
    await createUser(own, 'root', ['admin']);
    const count = async () => (await log({ action: 'user.delete', outcome: 'DONE' }, {}, own)).totalCount;
    await own.graphql('mutation { deleteUser(input: { username: "root" }) { __typename } }');
    expect(await count()).toBe(0);
    await createUser(own, 'other', ['admin']);
    await own.graphql('mutation { deleteUser(input: { username: "root" }) { __typename } }');
    expect(await count()).toBe(1);
  });
});

describe('a flood of refused attempts', () => {
  it('records at most 20 refused attempts per minute, and the next record counts the omitted ones', async () => {
    const own = await freshApp();
    const { headers, id } = await keyWith(own, []);
    const attempts = Array.from({ length: 60 }, () => own.rest('POST', CLUSTERS, {}, headers));
    for (const { status } of await Promise.all(attempts)) expect(status).toBe(403);
    expect((await log({ actor: `api-key:${id}` }, {}, own)).totalCount).toBe(20);
    const { headers: other } = await keyWith(own, []);
    await own.rest('POST', CLUSTERS, {}, other);
    const [last] = (await log({ outcome: 'FORBIDDEN' }, { first: 1 }, own)).nodes;
    expect(last.changes).toEqual({ unrecorded: { to: 40 } });
  });
});

describe('the audit log', () => {
  it('the audit log is paginated from either end, newest first', async () => {
    const { totalCount } = await log();
    const all: number[] = [];
    let cursor: string | null = null;
    for (;;) {
      const { nodes, pageInfo } = await log({}, { first: 3, after: cursor });
      all.push(...nodes.map(({ databaseId }: { databaseId: number }) => databaseId));
      expect(pageInfo.hasPreviousPage).toBe(cursor !== null);
      cursor = pageInfo.endCursor;
      if (!pageInfo.hasNextPage) break;
    }
    expect(all).toHaveLength(totalCount);
    expect(all).toEqual(all.toSorted((left, right) => right - left));
    const back = await log({}, { last: 2, before: cursor });
    expect(back.nodes.map(({ databaseId }: { databaseId: number }) => databaseId)).toEqual(all.slice(-3, -1));
    const first = await log({}, { last: 100 });
    expect(first.nodes.at(-1).databaseId).toBe(all.at(-1));
  });

  it.each([
    { first: 0 },
    { first: 101 },
    { first: 1, last: 1 },
    { after: 'x' },
    ...[0, 2 ** 31, 999_999_999_999]
      .map((id) => Buffer.from(`audit.${id}`).toString('base64url'))
      .flatMap((cursor) => [{ after: cursor }, { before: cursor }]),
  ])('rejects the pagination arguments %j', async (page) => {
    const { errors } = await app.graphql(LOG, page);
    expect(errors?.[0]?.extensions.code).toBe('INVALID_INPUT');
  });

  it('filters the audit log by time and rejects an invalid time', async () => {
    const own = await freshApp();
    await own.rest('POST', CLUSTERS, { name: 'early' });
    const { prisma } = own.domain.database;
    await prisma.auditRecord.updateMany({ data: { at: new Date('2026-01-01T00:00:00Z') } });
    await own.rest('POST', CLUSTERS, { name: 'late' });
    const names = async (filter: object) =>
      (await log({ action: 'cluster.create', ...filter }, {}, own)).nodes.map(
        ({ clusterName }: { clusterName: string }) => clusterName,
      );
    expect(await names({ since: '2026-01-01T01:00:00+01:00', until: '2026-01-02T00:00:00Z' })).toEqual(['early']);
    expect(await names({ since: '2026-01-01T00:00:00.001Z' })).toEqual(['late']);
    expect(await names({ until: '2026-01-01T00:00:00Z' })).toEqual([]);
    const wrong = await own.graphql(LOG, { filter: { since: 'canary-yesterday' } });
    expect(wrong.errors).toHaveLength(1);
    expect(JSON.stringify(wrong.errors)).not.toContain('canary');
  });

  it('the audit log accepts times of the years 1 to 9999 in UTC, and any user id', async () => {
    const [first, last] = ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z'];
    const { totalCount } = await log();
    expect(await log({ since: first, until: last })).toMatchObject({ totalCount });
    for (const time of ['0000-01-01T00:00:00Z', '0001-01-01T00:00:00+00:01', '9999-12-31T23:59:59-00:01'])
      for (const side of ['since', 'until']) {
        const { status, errors } = await app.graphql(LOG, { filter: { [side]: time } });
        expect([status, errors?.map(({ extensions }) => extensions?.code)], time).toEqual([200, ['BAD_REQUEST']]);
      }
    for (const id of [2 ** 31 - 1, 2 ** 31, 9_999_999_999])
      expect(await log({ actor: `user:${id}` })).toMatchObject({ totalCount: 0 });
  });

  it('the audit log is never served from the response cache', async () => {
    const own = await freshApp();
    const { headers } = await keyWith(own, []);
    const count = async () => (await log({ outcome: 'FORBIDDEN' }, {}, own)).totalCount;
    // A cacheable response is cached from the second identical request on.
    for (let time = 0; time < 3; time++) expect(await count()).toBe(0);
    await own.rest('POST', CLUSTERS, {}, headers);
    expect(await count()).toBe(1);
  });

  it('prune deletes audit records older than the retention period', async () => {
    const own = await freshApp();
    const { prisma } = own.domain.database;
    const old = { actor: 'a', action: 'old', changes: {}, at: new Date(Date.now() - 31 * 24 * 60 * 60 * 1000) };
    await prisma.auditRecord.createMany({ data: Array(1_200).fill(old) });
    const { totalCount } = await log({}, {}, own);
    // Prune once with an aborted signal, as during shutdown: nothing is deleted.
    await own.domain.auditLog.prune({ days: 30, signal: AbortSignal.abort() });
    expect(await log({}, {}, own)).toMatchObject({ totalCount });
    await own.domain.auditLog.prune({ days: 30 });
    expect(await log({}, {}, own)).toMatchObject({ totalCount: totalCount - 1_200 });
    expect((await log({ action: 'old' }, {}, own)).totalCount).toBe(0);
  });

  it('exports the whole audit log, oldest first', async () => {
    const exported: number[] = [];
    for await (const rows of app.domain.auditLog.export(systemCaller('command line'), {}))
      exported.push(...rows.map(({ id }) => id));
    expect(exported).toHaveLength((await log()).totalCount);
    expect(exported).toEqual(exported.toSorted((left, right) => left - right));
  });
});
