import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.ts';
import { whileAuditFails } from './support/database.ts';
import { canary, kubeconfig, token } from './support/kubeconfigs.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());
beforeEach(async () => {
  await app.domain.database.write('registry', async (tx) => {
    await tx.cluster.deleteMany();
    await tx.auditRecord.deleteMany();
  });
});

/** A kubeconfig with one user per context. A user named `bad…` needs a command. */
function contexts(names: string[], current?: string): string {
  return JSON.stringify({
    clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443' } }],
    users: names.map((name) => ({
      name,
      user: name.startsWith('bad')
        ? { exec: { command: canary, apiVersion: 'client.authentication.k8s.io/v1' } }
        : { token: `${token}${name}` },
    })),
    contexts: names.map((name) => ({ name, context: { cluster: 'c', user: name } })),
    ...(current === undefined ? {} : { 'current-context': current }),
  });
}

async function run(input: object) {
  const { data, errors } = await app.graphql(
    `mutation ($input: ImportClustersInput!) {
      importClusters(input: $input) {
        __typename
        ... on ImportClustersSuccess { createdCount contexts { context outcome problem cluster { name isDefault revision credential { kind } } } }
        ... on Error { code message }
        ... on InvalidInputError { issues { path message } }
      }
    }`,
    { input },
  );
  expect(errors).toBeUndefined();
  return data.importClusters;
}
type TestResponse = Awaited<ReturnType<typeof run>>;
const outcomes = ({ contexts }: TestResponse) =>
  contexts.map(({ context, outcome }: { context: string; outcome: string }) => [context, outcome]);
const pathsOf = ({ __typename, issues }: TestResponse) => {
  expect(__typename).toBe('InvalidInputError');
  return issues.map(({ path }: { path: string[] }) => path.join('.'));
};
const stored = async () => {
  const rows = await app.domain.database.prisma.cluster.findMany({
    orderBy: { id: 'asc' },
    include: { credential: true },
  });
  return rows.map(({ name, isDefault, revision, credentialsVersion, state, inCluster, credential }) => ({
    ...{ name, isDefault, revision, credentialsVersion, state, inCluster, sealed: credential?.sealed },
  }));
};
const audited = async () =>
  (await app.domain.database.prisma.auditRecord.findMany({ orderBy: { id: 'asc' } })).map(
    ({ action, clusterName, changes }) => [...[action, clusterName, changes]],
  );

describe('importClusters', () => {
  it('importClusters returns one outcome per context, in file order', async () => {
    const answer = await run({ kubeconfig: contexts(['b', 'bad', 'a', ' '], 'a') });
    expect(answer).toMatchObject({ __typename: 'ImportClustersSuccess', createdCount: 2 });
    expect(outcomes(answer)).toEqual([
      ['b', 'CREATED'],
      ['bad', 'REFUSED'],
      ['a', 'CREATED'],
      [' ', 'REFUSED'],
    ]);
    const [b, bad, a] = answer.contexts;
    expect(b).toMatchObject({ problem: null, cluster: { name: 'b', isDefault: false, credential: { kind: 'TOKEN' } } });
    expect(a.cluster.isDefault).toBe(true);
    expect([bad.cluster, bad.problem]).toEqual([null, expect.stringMatching(/exec/)]);
    expect(JSON.stringify(answer)).not.toContain(canary);
    expect((await stored()).map(({ name, state }) => [name, state])).toEqual([
      ['b', 'PENDING'],
      ['a', 'PENDING'],
    ]);
    expect(await audited()).toEqual(['b', 'a'].map((name) => ['cluster.import', name, { name: { to: name } }]));
  });

  it('importClusters makes the first usable context the default if there is no usable current one', async () => {
    await run({ kubeconfig: contexts(['bad', 'b', 'a'], 'bad') });
    expect((await stored()).map(({ name, isDefault }) => [name, isDefault])).toEqual([
      ['b', true],
      ['a', false],
    ]);
    await app.domain.database.write('registry', (tx) => tx.cluster.deleteMany());
    await run({ kubeconfig: contexts(['d', 'c']) });
    expect((await stored()).map(({ name, isDefault }) => [name, isDefault])).toEqual([
      ['d', true],
      ['c', false],
    ]);
  });

  it('importClusters does not change the default if clusters exist', async () => {
    await app.graphql('mutation { createCluster(input: { name: "z", verify: NONE }) { __typename } }');
    await run({ kubeconfig: contexts(['a'], 'a') });
    expect((await stored()).map(({ isDefault }) => isDefault)).toEqual([false, false]);
  });

  it('importClusters stores each cluster only with its own user', async () => {
    await run({ kubeconfig: contexts(['a', 'b'], 'a') });
    const rows = await app.domain.database.prisma.cluster.findMany({ include: { credential: true } });
    for (const { name, uid, credential } of rows) {
      const place = { table: 'ClusterCredential', column: 'sealed', uid };
      const text = app.domain.seal.open(credential?.sealed ?? '', place);
      expect(text).toContain(`${token}${name}`);
      expect(text).not.toContain(`${token}${name === 'a' ? 'b' : 'a'}`);
    }
  });

  it('importClusters skips, updates or rejects taken names', async () => {
    await run({ kubeconfig: contexts(['a', 'b']) });
    const before = await stored();
    const again = contexts(['a', 'c']).replaceAll(token, `${token}-new`);

    const skipped = await run({ kubeconfig: again, contexts: ['a'] });
    expect([outcomes(skipped), skipped.createdCount]).toEqual([[['a', 'SKIPPED']], 0]);
    expect(skipped.contexts[0]).toMatchObject({ problem: expect.any(String), cluster: { name: 'a', revision: 1 } });
    expect(await stored()).toEqual(before);

    expect(await run({ kubeconfig: again, onNameTaken: 'FAIL' })).toMatchObject({
      __typename: 'NameTakenError',
      code: 'NAME_TAKEN',
    });
    expect(await stored()).toEqual(before);

    const updated = await run({ kubeconfig: again, onNameTaken: 'UPDATE' });
    expect([outcomes(updated), updated.createdCount]).toEqual([
      [
        ['a', 'UPDATED'],
        ['c', 'CREATED'],
      ],
      1,
    ]);
    expect(updated.contexts[0].cluster).toMatchObject({ name: 'a', revision: 2 });
    const [a, b, c] = await stored();
    expect(a).toMatchObject({ name: 'a', isDefault: true, revision: 2, credentialsVersion: 2 });
    expect(a?.sealed).not.toBe(before[0]?.sealed);
    expect(b).toEqual(before[1]);
    expect(c).toMatchObject({ name: 'c', isDefault: false });
    expect((await audited()).slice(2)).toEqual([
      ['cluster.import', 'a', { credential: 'changed' }],
      ['cluster.import', 'c', { name: { to: 'c' } }],
    ]);
  });

  it('a dry run of importClusters reports what would happen and stores nothing', async () => {
    await run({ kubeconfig: contexts(['a']) });
    const before = [await stored(), await audited()];
    const text = contexts(['a', 'bad', 'b']);
    for (const [onNameTaken, outcome] of [
      ['SKIP', 'SKIPPED'],
      ['UPDATE', 'UPDATED'],
    ]) {
      const answer = await run({ kubeconfig: text, onNameTaken, dryRun: true });
      expect(outcomes(answer)).toEqual([
        ['a', outcome],
        ['bad', 'REFUSED'],
        ['b', 'CREATED'],
      ]);
      expect([answer.createdCount, answer.contexts.map(({ cluster }: { cluster: null }) => cluster)]).toEqual([
        1,
        [null, null, null],
      ]);
    }
    expect((await run({ kubeconfig: text, onNameTaken: 'FAIL', dryRun: true })).__typename).toBe('NameTakenError');
    expect((await run({ kubeconfig: text, onlyIfEmpty: true, dryRun: true })).__typename).toBe('RegistryNotEmptyError');
    expect([await stored(), await audited()]).toEqual(before);
  });

  it('importClusters imports only the named contexts and rejects unknown names', async () => {
    const text = contexts(['a', 'b', 'c']);
    expect(outcomes(await run({ kubeconfig: text, contexts: ['c', 'a', 'c'] }))).toEqual([
      ['a', 'CREATED'],
      ['c', 'CREATED'],
    ]);
    expect(outcomes(await run({ kubeconfig: text, contexts: [] }))).toEqual([]);
    const answer = await run({ kubeconfig: text, contexts: ['b', 'x', 'y'] });
    expect(pathsOf(answer)).toEqual(['contexts', 'contexts']);
    expect((await stored()).map(({ name }) => name)).toEqual(['a', 'c']);
  });

  it('importClusters with onlyIfEmpty rejects a registry with clusters', async () => {
    expect((await run({ kubeconfig: contexts(['a']), onlyIfEmpty: true })).createdCount).toBe(1);
    expect(await run({ kubeconfig: contexts(['b']), onlyIfEmpty: true })).toEqual({
      ...{
        __typename: 'RegistryNotEmptyError',
        code: 'REGISTRY_NOT_EMPTY',
        message: 'import not allowed when clusters exist',
      },
    });
    expect(await stored()).toHaveLength(1);
  });

  it('of two concurrent imports into an empty registry, one succeeds', async () => {
    const answers = await Promise.all(
      ['a', 'b'].map((name) => run({ kubeconfig: contexts([name, `${name}2`]), onlyIfEmpty: true })),
    );
    expect(answers.map(({ __typename }) => __typename).sort()).toEqual([
      'ImportClustersSuccess',
      'RegistryNotEmptyError',
    ]);
    expect(await stored()).toHaveLength(2);
  });

  it('an in-cluster import that fails its connection test does not affect the next import', async () => {
    expect(outcomes(await run({ inCluster: true, verify: 'CONNECT' }))).toEqual([['in-cluster', 'REFUSED']]);
    expect(outcomes(await run({ inCluster: true }))).toEqual([['in-cluster', 'CREATED']]);
  });

  it('importClusters registers the in-cluster service account and handles its taken name', async () => {
    const answer = await run({ inCluster: true });
    expect(answer.contexts).toEqual([
      {
        ...{ context: 'in-cluster', outcome: 'CREATED', problem: null },
        cluster: { name: 'in-cluster', isDefault: true, revision: 1, credential: { kind: 'IN_CLUSTER' } },
      },
    ]);
    await app.graphql(
      'mutation ($text: String!) { updateCluster(input: { by: { name: "in-cluster" }, credential: { kubeconfig: { text: $text } } }) { __typename } }',
      { text: kubeconfig() },
    );
    expect(outcomes(await run({ inCluster: true }))).toEqual([['in-cluster', 'SKIPPED']]);
    expect((await stored())[0]).toMatchObject({ inCluster: false, revision: 2 });
    const updated = await run({ inCluster: true, onNameTaken: 'UPDATE' });
    expect(updated.contexts[0]).toMatchObject({
      outcome: 'UPDATED',
      cluster: { credential: { kind: 'IN_CLUSTER' }, revision: 3 },
    });
    expect((await stored())[0]).toMatchObject({ inCluster: true, state: 'PENDING', credentialsVersion: 3 });
  });

  it('importClusters with verify: NONE stores unusable contexts', async () => {
    const answer = await run({ kubeconfig: contexts(['a', 'bad']), verify: 'NONE' });
    expect(outcomes(answer)).toEqual([
      ['a', 'CREATED'],
      ['bad', 'CREATED'],
    ]);
    expect((await stored()).map(({ state }) => state)).toEqual(['PENDING', 'UNUSABLE']);
  });

  it('importClusters rejects an unreadable kubeconfig', async () => {
    for (const text of [undefined, null, '', ': x', '[]', '{}', kubeconfig({ root: { contexts: [] } })])
      expect(pathsOf(await run({ kubeconfig: text }))).toEqual(['kubeconfig']);
    expect(pathsOf(await run({ contexts: ['x'] }))).toEqual(['kubeconfig']);
    expect(await stored()).toEqual([]);
  });

  it('importClusters stores nothing if one audit record cannot be written', async () => {
    const runImport = () =>
      app.graphql('mutation ($text: String!) { importClusters(input: { kubeconfig: $text }) { __typename } }', {
        text: contexts(['a', 'b', 'c']),
      });
    const { errors } = await whileAuditFails(app.domain.database, runImport, 'c');
    expect(errors?.[0].extensions.code).toBe('INTERNAL');
    expect([await stored(), await audited()]).toEqual([[], []]);
  });
});
