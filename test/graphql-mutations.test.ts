import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.ts';
import { whileAuditFails } from './support/database.ts';
import { canary, kubeconfig, needingCommand, usable } from './support/kubeconfigs.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());
beforeEach(async () => {
  const { database } = app.domain;
  await database.write('registry', async (tx) => {
    await tx.cluster.deleteMany();
    await tx.auditRecord.deleteMany();
  });
});

const CLUSTER = `id databaseId name description labels { key value } enabled isDefault inCluster prometheusURL apiServer
  credential { kind expiresAt problem } revision status { state version error { code message } }`;
const ERRORS = '... on Error { code message } ... on InvalidInputError { issues { path message } }';
const CONFLICT = `... on RevisionConflictError { current { ${CLUSTER} } }`;
const CHANGED = `cluster { ${CLUSTER} } previousDefault { name isDefault revision } warnings { __typename message }`;

async function mutate(field: 'create' | 'update' | 'delete', input: object) {
  const type = `${field.charAt(0).toUpperCase()}${field.slice(1)}Cluster`;
  const success = field === 'delete' ? 'deletedId deletedDatabaseId' : CHANGED;
  const { data, errors } = await app.graphql(
    `mutation ($input: ${type}Input!) {
      ${field}Cluster(input: $input) { __typename ... on ${type}Success { ${success} } ${ERRORS} ${field === 'create' ? '' : CONFLICT} }
    }`,
    { input },
  );
  expect(errors).toBeUndefined();
  return data[`${field}Cluster`];
}
const create = (input: object) => mutate('create', input);
const update = (input: object) => mutate('update', { by: { name: 'a' }, ...input });
const remove = (input: object) => mutate('delete', { by: { name: 'a' }, ...input });
const pathsOf = (answer: { __typename: string; code: string; issues: { path: string[] }[] }) => {
  expect([answer.__typename, answer.code]).toEqual(['InvalidInputError', 'INVALID_INPUT']);
  return [...new Set(answer.issues.map(({ path }) => path.join('.')))].sort();
};
const credential = { kubeconfig: { text: kubeconfig() } };
const stored = () =>
  app.domain.database.prisma.cluster.findMany({ orderBy: { id: 'asc' }, include: { labels: true, credential: true } });
const audited = () =>
  app.domain.database.prisma.auditRecord.findMany({
    select: { actor: true, action: true, clusterName: true, clusterUid: true, requestId: true, changes: true },
    orderBy: { id: 'asc' },
  });

describe('createCluster', () => {
  it('createCluster returns the cluster as it is stored', async () => {
    const labels = [
      { key: 'tier', value: '' },
      { key: 'example.org/env', value: 'prod' },
    ];
    const answer = await create({
      name: ' ü ',
      description: 'd',
      labels,
      credential,
      prometheusURL: 'http://10.0.0.2:9090',
    });
    expect(answer).toMatchObject({
      __typename: 'CreateClusterSuccess',
      cluster: {
        ...{ name: ' ü ', description: 'd', enabled: true, isDefault: false, inCluster: false, revision: 1 },
        labels: [labels[1], labels[0]],
        ...{ prometheusURL: 'http://10.0.0.2:9090', apiServer: 'https://10.0.0.1:6443' },
        credential: { kind: 'TOKEN', problem: null },
        status: { state: 'PENDING', version: null, error: null },
      },
      previousDefault: null,
      warnings: [],
    });
    const [row] = await stored();
    expect(row?.id).toBe(answer.cluster.databaseId);
    expect(Buffer.from(answer.cluster.id, 'base64url').toString()).toBe(`Cluster:${row?.uid}`);
    expect(row?.credential?.sealed).toMatch(/^k1\./);
    expect(JSON.stringify(row)).not.toContain(canary);
  });

  it('createCluster accepts every kind of credential', async () => {
    const kinds = [
      ['kind', 'CLIENT_CERTIFICATE'],
      ['Rancher', 'TOKEN'],
      ['AKS', 'TOKEN_AND_CERTIFICATE'],
    ] as const;
    for (const [name, kind] of kinds) {
      const { cluster } = await create({ name, credential: { kubeconfig: { text: usable[name] } } });
      expect([name, cluster.credential.kind]).toEqual([name, kind]);
    }
    const { cluster } = await create({ name: 'here', credential: { inCluster: true } });
    expect(cluster).toMatchObject({ inCluster: true, apiServer: null, credential: { kind: 'IN_CLUSTER' } });
    const nobody = await create({ name: 'nobody', credential: { kubeconfig: { text: kubeconfig({ user: {} }) } } });
    expect(nobody.cluster.credential.kind).toBe('NONE');
  });

  it('createCluster takes the default from another cluster in the same transaction', async () => {
    await create({ name: 'a', credential, isDefault: true });
    const { cluster, previousDefault } = await create({ name: 'b', credential, isDefault: true });
    expect(cluster.isDefault).toBe(true);
    expect(previousDefault).toEqual({ name: 'a', isDefault: false, revision: 2 });
    expect((await stored()).map(({ isDefault }) => isDefault)).toEqual([false, true]);
    expect((await audited()).map(({ action, clusterName }) => [action, clusterName])).toEqual([
      ['cluster.create', 'a'],
      ['cluster.update', 'a'],
      ['cluster.create', 'b'],
    ]);
  });

  it('createCluster does not move the default if the name is taken', async () => {
    await create({ name: 'a', credential, isDefault: true });
    await create({ name: 'b', credential });
    const before = [await stored(), await audited()];
    const answer = await create({ name: 'b', credential, isDefault: true });
    expect(answer).toEqual({ __typename: 'NameTakenError', code: 'NAME_TAKEN', message: 'cluster already exists' });
    expect([await stored(), await audited()]).toEqual(before);
  });

  it('createCluster reports every invalid field with its path and stores nothing', async () => {
    const answer = await create({
      name: 'a\nb',
      description: 'x'.repeat(10_001),
      labels: [
        { key: '-a', value: '-b' },
        { key: 'a', value: '' },
        { key: 'a', value: '' },
      ],
      credential: { kubeconfig: { text: needingCommand.EKS } },
      prometheusURL: 'ftp://x',
      isDefault: null,
      enabled: null,
      verify: null,
    });
    expect(pathsOf(answer)).toEqual([
      ...['credential.kubeconfig.text', 'description', 'enabled', 'isDefault', 'labels.0.key', 'labels.0.value'],
      ...['labels.2.key', 'name', 'prometheusURL', 'verify'],
    ]);
    expect(JSON.stringify(answer)).not.toContain(canary);
    expect([await stored(), await audited()]).toEqual([[], []]);
  });

  it('createCluster requires a credential, and reports this with other errors', async () => {
    for (const none of [{}, { credential: null }, { credential: { inCluster: false } }])
      expect(pathsOf(await create({ name: '', ...none }))).toEqual(['credential', 'name']);
  });

  it.each([
    ['name', ['', ' ', 'x'.repeat(254), 'a\0', '\ud800', 'a\tb', 'a\u0085']],
    ['description', ['x'.repeat(10_001), 'a\0', '\udc00']],
    [
      'prometheusURL',
      ['x', 'http://', 'ftp://a', 'javascript:alert(1)', 'http://u:p@a', 'http://a b', `http://${'a'.repeat(2048)}`],
    ],
    ['prometheusURL', ['http://169.254.169.254', 'http://0.0.0.0:9090', 'http://[::]:9090', 'http://224.0.0.1']],
  ])('createCluster rejects an invalid %s: %#', async (field, values) => {
    for (const value of values)
      expect([value, pathsOf(await create({ name: 'a', credential, [field]: value }))]).toEqual([value, [field]]);
  });

  it('createCluster accepts the longest allowed values', async () => {
    const name = 'ü'.repeat(253);
    const labels = Array.from({ length: 64 }, (_, index) => ({ key: `k${index}`, value: 'v'.repeat(63) }));
    const { cluster } = await create({ name, description: '👩'.repeat(10_000), labels, credential });
    expect([cluster.name, cluster.labels.length]).toEqual([name, 64]);
    expect(pathsOf(await create({ name: 'b', labels: [...labels, { key: 'k64', value: '' }], credential }))).toEqual([
      'labels',
    ]);
  });

  it('createCluster rejects an unusable kubeconfig with the reason', async () => {
    const several = kubeconfig({
      root: {
        'current-context': undefined,
        contexts: ['p', 'q'].map((name) => ({ name, context: { cluster: 'c', user: 'u' } })),
      },
    });
    for (const [text, reason] of [
      ['', /./],
      [': not yaml', /./],
      [needingCommand.GKE, /exec|command/],
      [kubeconfig({ user: { tokenFile: '/etc/passwd' } }), /token/],
      [kubeconfig({ cluster: { server: 'https://169.254.169.254' } }), /169\.254/],
      [several, /"p".*"q"/],
      ['a\0', /NUL/],
    ] as const) {
      const answer = await create({ name: 'a', credential: { kubeconfig: { text } } });
      expect(pathsOf(answer)).toEqual(['credential.kubeconfig.text']);
      expect(answer.issues[0].message).toMatch(reason);
    }
    expect(pathsOf(await create({ name: 'a', credential: { kubeconfig: { text: several, context: 'r' } } }))).toEqual([
      'credential.kubeconfig.context',
    ]);
    expect((await create({ name: 'a', credential: { kubeconfig: { text: several, context: 'q' } } })).__typename).toBe(
      'CreateClusterSuccess',
    );
  });

  it('createCluster with verify: NONE stores an unusable kubeconfig and warns', async () => {
    const answer = await create({
      name: 'a',
      verify: 'NONE',
      credential: { kubeconfig: { text: needingCommand.EKS } },
    });
    expect(answer.cluster).toMatchObject({
      credential: { kind: 'UNUSABLE' },
      status: { state: 'UNUSABLE', error: { code: 'KUBECONFIG_UNUSABLE', message: answer.cluster.credential.problem } },
    });
    expect(answer.warnings).toEqual([
      { __typename: 'CredentialWarning', message: expect.stringContaining(answer.cluster.credential.problem) },
    ]);
    expect(JSON.stringify(answer)).not.toContain(canary);
    const none = await create({ name: 'b', verify: 'NONE' });
    expect([none.cluster.credential.kind, none.warnings.length]).toEqual(['UNUSABLE', 1]);
    const disabled = await create({ name: 'c', verify: 'NONE', enabled: false });
    expect(disabled.cluster.status).toEqual({ state: 'DISABLED', version: null, error: null });
  });

  it('createCluster never reuses an id', async () => {
    const first = await create({ name: 'a', credential });
    await remove({});
    const second = await create({ name: 'a', credential });
    expect(second.cluster.databaseId).toBeGreaterThan(first.cluster.databaseId);
    expect(second.cluster.id).not.toBe(first.cluster.id);
  });
});

describe('updateCluster', () => {
  const full = {
    name: 'a',
    description: 'd',
    labels: [{ key: 'env', value: 'prod' }],
    credential,
    prometheusURL: 'http://prometheus:9090',
  };

  it('updateCluster keeps omitted fields', async () => {
    const { cluster } = await create({ ...full, isDefault: true });
    const answer = await update({ description: 'e' });
    expect(answer).toEqual({
      ...{ __typename: 'UpdateClusterSuccess', previousDefault: null, warnings: [] },
      cluster: { ...cluster, description: 'e', revision: 2 },
    });
  });

  it('updateCluster clears fields that are null', async () => {
    const { cluster } = await create(full);
    const answer = await update({ description: null, labels: null, prometheusURL: null });
    expect(answer.cluster).toEqual({ ...cluster, description: '', labels: [], prometheusURL: null, revision: 2 });
    const [row] = await stored();
    expect([row?.description, row?.prometheusURL, row?.labels]).toEqual(['', '', []]);
  });

  it('updateCluster rejects null for every field that cannot be cleared', async () => {
    await create(full);
    const before = await stored();
    const nothing = {
      name: null,
      credential: null,
      isDefault: null,
      enabled: null,
      verify: null,
      expectedRevision: null,
    };
    expect(pathsOf(await update(nothing))).toEqual(Object.keys(nothing).sort());
    expect(await stored()).toEqual(before);
  });

  it('an update without changes keeps the revision and adds no audit record', async () => {
    const { cluster } = await create(full);
    const records = await audited();
    for (const input of [{}, { by: { id: cluster.id }, ...full, isDefault: false, enabled: true, expectedRevision: 1 }])
      expect((await update(input)).cluster).toEqual(cluster);
    expect(await audited()).toEqual(records);
  });

  it('updateCluster rejects a lost update and returns the stored cluster', async () => {
    const { cluster } = await create(full);
    const changed = await update({ description: 'by somebody else', expectedRevision: 1 });
    const answer = await update({ description: 'mine', expectedRevision: 1 });
    expect(answer).toMatchObject({ __typename: 'RevisionConflictError', code: 'REVISION_CONFLICT' });
    expect(answer.current).toEqual({ ...cluster, description: 'by somebody else', revision: 2 });
    expect(answer.current).toEqual(changed.cluster);
    expect(await remove({ expectedRevision: 1 })).toMatchObject({
      __typename: 'RevisionConflictError',
      current: { revision: 2 },
    });
    expect((await update({ description: 'mine', expectedRevision: 2 })).cluster.revision).toBe(3);
    expect((await remove({ expectedRevision: 3 })).__typename).toBe('DeleteClusterSuccess');
  });

  it('updateCluster renames a cluster and rejects a taken name', async () => {
    await create(full);
    await create({ ...full, name: 'b' });
    expect(await update({ name: 'b' })).toMatchObject({ __typename: 'NameTakenError', code: 'NAME_TAKEN' });
    expect((await update({ name: 'B' })).cluster).toMatchObject({ name: 'B', revision: 2 });
    const found = await app.graphql(
      '{ clusters(filter: { search: "b" }) { totalCount } a: cluster(by: { name: "a" }) { id } }',
    );
    expect(found.data).toEqual({ clusters: { totalCount: 2 }, a: null });
  });

  it('updateCluster takes the default and gives it up', async () => {
    await create(full);
    await create({ ...full, name: 'b', isDefault: true });
    const { cluster, previousDefault } = await update({ isDefault: true });
    expect([cluster.isDefault, previousDefault]).toEqual([true, { name: 'b', isDefault: false, revision: 2 }]);
    expect((await update({ isDefault: true })).previousDefault).toBeNull();
    const unset = await update({ isDefault: false });
    expect([unset.cluster.isDefault, unset.previousDefault]).toEqual([false, null]);
  });

  it('updateCluster resets the status for a new credential, not for an equal one', async () => {
    await create(full);
    const observe = () =>
      app.domain.database.write('status', (tx) =>
        tx.cluster.updateMany({ data: { state: 'READY', version: 'v1.31.0', latencyMs: 4, observedAt: new Date() } }),
      );
    await observe();
    const same = await update({ credential });
    expect(same.cluster).toMatchObject({ revision: 1, status: { state: 'READY', version: 'v1.31.0' } });
    const other = await update({ credential: { kubeconfig: { text: usable.AKS } } });
    expect(other.cluster).toMatchObject({
      revision: 2,
      credential: { kind: 'TOKEN_AND_CERTIFICATE' },
      status: { state: 'PENDING', version: null },
    });
    expect((await stored())[0]?.credentialsVersion).toBe(2);
    await observe();
    const here = await update({ credential: { inCluster: true } });
    expect(here.cluster).toMatchObject({
      inCluster: true,
      apiServer: null,
      credential: { kind: 'IN_CLUSTER' },
      status: { state: 'PENDING' },
    });
    const back = await update({ credential: { inCluster: false } });
    expect(back.cluster).toMatchObject({
      inCluster: false,
      credential: { kind: 'TOKEN_AND_CERTIFICATE' },
      revision: 4,
    });
  });

  it('updateCluster rejects an unusable kubeconfig and keeps the stored one, unless verify is NONE', async () => {
    await create(full);
    const before = await stored();
    const bad = { kubeconfig: { text: needingCommand.EKS } };
    expect(pathsOf(await update({ credential: bad, name: '' }))).toEqual(['credential.kubeconfig.text', 'name']);
    expect(await stored()).toEqual(before);
    const answer = await update({ credential: bad, verify: 'NONE' });
    expect([answer.cluster.status.state, answer.warnings.length]).toEqual(['UNUSABLE', 1]);
  });

  it('updateCluster disables and enables a cluster', async () => {
    await create(full);
    await app.domain.database.write('status', (tx) =>
      tx.cluster.updateMany({ data: { state: 'READY', version: 'v1.31.0' } }),
    );
    expect((await update({ enabled: false })).cluster.status).toEqual({
      state: 'DISABLED',
      version: null,
      error: null,
    });
    expect((await update({ enabled: true })).cluster.status.state).toBe('PENDING');
    // Probes that started before no longer count.
    expect((await stored())[0]?.credentialsVersion).toBe(3);
  });

  it('updateCluster and deleteCluster return NotFoundError for a missing cluster', async () => {
    for (const by of [{ name: 'x' }, { databaseId: 2 ** 31 - 1 }, { id: 'x' }]) {
      const notFound = { __typename: 'NotFoundError', code: 'NOT_FOUND', message: 'cluster not found' };
      expect(await update({ by, description: 'x' })).toEqual(notFound);
      expect(await remove({ by })).toEqual(notFound);
    }
  });
});

describe('deleteCluster', () => {
  it('deleteCluster returns both ids and deletes labels and credential', async () => {
    const { cluster } = await create({ name: 'a', labels: [{ key: 'a', value: '' }], credential });
    expect(await remove({})).toEqual({
      ...{ __typename: 'DeleteClusterSuccess', deletedId: cluster.id, deletedDatabaseId: cluster.databaseId },
    });
    const { prisma } = app.domain.database;
    expect([await stored(), await prisma.clusterLabel.count(), await prisma.clusterCredential.count()]).toEqual([
      [],
      0,
      0,
    ]);
  });

  it('deleteCluster rejects the default cluster', async () => {
    await create({ name: 'a', credential, isDefault: true });
    expect(await remove({})).toEqual({
      ...{ __typename: 'DefaultClusterError', code: 'DEFAULT_CLUSTER', message: 'cannot delete default cluster' },
    });
    await update({ isDefault: false });
    expect((await remove({})).__typename).toBe('DeleteClusterSuccess');
  });

  it('deleteCluster rejects a null expectedRevision', async () => {
    await create({ name: 'a', credential });
    expect(pathsOf(await remove({ expectedRevision: null }))).toEqual(['expectedRevision']);
  });
});

describe('the audit record of a change', () => {
  it('the audit record has actor, change and request id, and never a credential', async () => {
    const { cluster } = await create({ name: 'a', credential });
    await update({
      description: 'd',
      labels: [{ key: 'k', value: 'v' }],
      credential: { kubeconfig: { text: usable.AKS } },
    });
    await remove({});
    const records = await audited();
    expect(records.map(({ action, changes }) => [action, changes])).toEqual([
      ['cluster.create', { name: { to: 'a' }, credential: 'changed' }],
      [
        'cluster.update',
        {
          description: { from: '', to: 'd' },
          labels: { from: [], to: [{ key: 'k', value: 'v' }] },
          credential: 'changed',
        },
      ],
      ['cluster.delete', { name: { from: 'a' } }],
    ]);
    for (const record of records) {
      expect(record.actor).toMatch(/^api-key:\d+ \(test admin\)$/);
      expect(`Cluster:${record.clusterUid}`).toBe(Buffer.from(cluster.id, 'base64url').toString());
      expect(app.logged()).toContain(record.requestId);
    }
    expect(JSON.stringify(records)).not.toContain(canary);
  });

  it('a change is rolled back if its audit record cannot be written', async () => {
    await create({ name: 'a', credential });
    const before = await stored();
    await whileAuditFails(app.domain.database, async () => {
      for (const field of [
        'createCluster(input: { name: "b", verify: NONE, isDefault: true })',
        'updateCluster(input: { by: { name: "a" }, description: "x" })',
        'deleteCluster(input: { by: { name: "a" } })',
      ]) {
        const { errors } = await app.graphql(`mutation { ${field} { __typename } }`);
        expect(errors?.[0].extensions.code).toBe('INTERNAL');
      }
    });
    expect(await stored()).toEqual(before);
  });
});
