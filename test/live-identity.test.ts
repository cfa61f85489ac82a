import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { type ApiServers, startApiServers } from './support/api-servers.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { binaryFor, kubeconfigOf, probingApp, register, untilState } from './support/live.ts';
import { kubernetes, type StandInResponses, standIn } from './support/stand-in.ts';

const binary = await binaryFor('test/live-identity.test.ts, identities of real API servers');
/**
 * Twice the time in which docs/architecture.md promises to probe a changed cluster; changed clusters are probed first.
 */
const SOON_MS = 2 * 1_000;

async function identityOf(app: TestApp, databaseId: number) {
  const { data } = await app.graphql(
    'query ($by: ClusterBy!) { cluster(by: $by) { revision identity { state uid otherUid } } }',
    { by: { databaseId } },
  );
  return data.cluster.identity;
}

function untilIdentity(app: TestApp, id: number, wanted: object) {
  return vi.waitFor(async () => expect(await identityOf(app, id)).toEqual(wanted), { timeout: SOON_MS, interval: 20 });
}

const records = (app: TestApp, action: string) =>
  app.domain.database.prisma.auditRecord.findMany({ where: { action }, orderBy: { id: 'asc' } });

const confirm = async (app: TestApp, databaseId: number, expectedRevision?: number) =>
  (
    await app.graphql(
      `mutation ($input: ConfirmClusterIdentityInput!) { confirmClusterIdentity(input: $input) {
        __typename ... on Error { code } ... on ConfirmClusterIdentitySuccess { cluster { identity { state uid otherUid } } } } }`,
      { input: { by: { databaseId }, ...(expectedRevision === undefined ? {} : { expectedRevision }) } },
    )
  ).data.confirmClusterIdentity;

const update = async (app: TestApp, databaseId: number, text: string, more: object) =>
  (
    await app.graphql(
      `mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) {
        __typename ... on Error { code message } ... on DifferentClusterError { knownUid otherUid }
        ... on ConnectionFailedError { fault { code } } } }`,
      { input: { by: { databaseId }, credential: { kubeconfig: { text } }, ...more } },
    )
  ).data.updateCluster;

/** A stand-in with this UID of the kube-system namespace, and a kubeconfig that points to it. */
async function clusterWithUid(uid: string) {
  const responses: StandInResponses = { kubeSystem: [200, { kind: 'Namespace', metadata: { uid } }] };
  const server = await standIn(kubernetes(responses));
  return { responses, server, text: kubeconfigOf(server.target()) };
}

async function registerKnownCluster() {
  const app = await probingApp();
  const [first, second] = [await clusterWithUid('uid-1'), await clusterWithUid('uid-2')];
  const id = await register(app, 'a', first.text);
  await untilState(app, id, 'READY');
  await untilIdentity(app, id, { state: 'KNOWN', uid: 'uid-1', otherUid: null });
  return { app, id, first, second };
}

const CHANGED = { state: 'CHANGED', uid: 'uid-1', otherUid: 'uid-2' };

describe('a kubeconfig of another cluster', () => {
  it.each([
    ['REST', (app: TestApp, id: number, config: string) => app.rest('PUT', `${CLUSTERS}${id}`, { config })],
    ['SYNTAX', (app: TestApp, id: number, text: string) => update(app, id, text, { verify: 'SYNTAX' })],
    ['NONE', (app: TestApp, id: number, text: string) => update(app, id, text, { verify: 'NONE' })],
  ])(
    'a kubeconfig of another cluster set by %s works, and the identity is CHANGED until a user confirms it',
    async (_way, give) => {
      const { app, id, second } = await registerKnownCluster();
      await give(app, id, second.text);
      await untilIdentity(app, id, CHANGED);
      await untilState(app, id, 'READY');
      const [record, ...others] = await records(app, 'cluster.identity-changed');
      expect(others).toEqual([]);
      expect(record).toMatchObject({ clusterId: id, changes: { identity: { from: 'uid-1', to: 'uid-2' } } });
      expect(record?.actor).toMatch(/prober/);
      await app.graphql('mutation { probeCluster(input: { by: { name: "a" } }) { __typename } }');
      expect(await records(app, 'cluster.identity-changed')).toHaveLength(1);

      const { revision } = await app.domain.database.prisma.cluster.findUniqueOrThrow({ where: { id } });
      expect(await confirm(app, id, revision - 1)).toMatchObject({ code: 'REVISION_CONFLICT' });
      expect(await identityOf(app, id)).toEqual(CHANGED);
      const { cluster } = await confirm(app, id, revision);
      expect(cluster.identity).toEqual({ state: 'KNOWN', uid: 'uid-2', otherUid: null });
      expect(await records(app, 'cluster.confirm-identity')).toMatchObject([
        {
          clusterId: id,
          changes: { identity: { from: 'uid-1', to: 'uid-2' } },
          actor: expect.stringMatching(/api-key/),
        },
      ]);
      expect(await confirm(app, id)).toMatchObject({ __typename: 'ConfirmClusterIdentitySuccess' });
      expect(await records(app, 'cluster.confirm-identity')).toHaveLength(1);
    },
  );

  it('an identity change appears in the stream of changes', async () => {
    const { app, id, second } = await registerKnownCluster();
    const { data } = await app.graphql('{ clusters { changesCursor } }');
    await app.rest('PUT', `${CLUSTERS}${id}`, { config: second.text });
    await untilIdentity(app, id, CHANGED);
    const caller = systemCaller('command line');
    const changes = app.domain.clusterChanges.follow(
      caller,
      { after: data.clusters.changesCursor },
      { select: { otherIdentity: true } },
      { signal: AbortSignal.timeout(5_000) },
    );
    for await (const change of changes) {
      expect(change).toMatchObject({ kind: 'UPSERTED', cluster: { id, otherIdentity: 'uid-2' } });
      break;
    }
  });

  it('an update with CONNECT rejects a kubeconfig of another cluster unless the change is confirmed', async () => {
    const { app, id, second, first } = await registerKnownCluster();
    const before = await app.domain.database.prisma.cluster.findUniqueOrThrow({ where: { id } });
    const refused = {
      __typename: 'DifferentClusterError',
      code: 'DIFFERENT_CLUSTER',
      knownUid: 'uid-1',
      otherUid: 'uid-2',
    };
    for (const more of [{}, { allowDifferentCluster: false }, { allowDifferentCluster: null, enabled: false }])
      expect(await update(app, id, second.text, { verify: 'CONNECT', ...more })).toMatchObject(refused);
    expect(await app.domain.database.prisma.cluster.findUniqueOrThrow({ where: { id } })).toEqual(before);
    expect(first.server.sockets.size).toBe(1);
    const taken = await update(app, id, second.text, { verify: 'CONNECT', allowDifferentCluster: true });
    expect(taken).toEqual({ __typename: 'UpdateClusterSuccess' });
    expect(await identityOf(app, id)).toEqual({ state: 'KNOWN', uid: 'uid-2', otherUid: null });
    await untilState(app, id, 'READY');
    expect(await records(app, 'cluster.identity-changed')).toEqual([]);
    expect((await records(app, 'cluster.update')).at(-1)?.changes).toMatchObject({
      identity: { from: 'uid-1', to: 'uid-2' },
      credential: 'changed',
    });
  });

  it('restoring the original kubeconfig makes the identity KNOWN again without a confirmation', async () => {
    const { app, id, first, second } = await registerKnownCluster();
    await app.rest('PUT', `${CLUSTERS}${id}`, { config: second.text });
    await untilIdentity(app, id, CHANGED);
    await app.rest('PUT', `${CLUSTERS}${id}`, { config: first.text });
    await untilIdentity(app, id, { state: 'KNOWN', uid: 'uid-1', otherUid: null });
  });
});

it('a cluster that was recreated at the same address is CHANGED once it is reachable again', async () => {
  const { app, id, first } = await registerKnownCluster();
  const probe = () => app.graphql('mutation { probeCluster(input: { by: { name: "a" } }) { __typename } }');
  first.responses.review = [401, { kind: 'Status', code: 401 }];
  await probe();
  await untilState(app, id, 'UNAUTHORIZED');
  first.responses.kubeSystem = [200, { kind: 'Namespace', metadata: { uid: 'uid-2' } }];
  delete first.responses.review;
  await probe();
  expect(await identityOf(app, id)).toEqual(CHANGED);
});

describe.skipIf(!binary)('the identity of a real cluster', () => {
  let servers: ApiServers;
  let app: TestApp;
  let uids: string[];
  beforeAll(async () => {
    if (!binary) return;
    servers = await startApiServers(binary, 2);
    app = await startApp({}, { probing: true });
    uids = (await servers.clusters()).map(({ kubeSystemUID }) => kubeSystemUID);
  });
  afterAll(async () => {
    await app?.close();
    await servers?.close();
  });

  it('the identity is the UID of kube-system, and UNKNOWN without a fault if the credential may not read it', async () => {
    const reader = await register(app, 'reader', kubeconfigOf(await servers.target(1, 'reader-1')));
    const nobody = await register(app, 'nobody', kubeconfigOf(await servers.target(1, 'nobody-1')));
    expect(await untilState(app, nobody, 'READY')).toMatchObject({
      error: null,
      version: expect.stringMatching(/^v1/),
    });
    await untilIdentity(app, reader, { state: 'KNOWN', uid: uids[0], otherUid: null });
    expect(await identityOf(app, nobody)).toEqual({ state: 'UNKNOWN', uid: null, otherUid: null });
  });

  it('another cluster is recognized by its UID', async () => {
    const id = await register(app, 'moving', kubeconfigOf(await servers.target(1, 'admin-1')));
    await untilIdentity(app, id, { state: 'KNOWN', uid: uids[0], otherUid: null });
    const other = kubeconfigOf(await servers.target(2, 'admin-2'));
    expect(await update(app, id, other, { verify: 'CONNECT' })).toMatchObject({ knownUid: uids[0], otherUid: uids[1] });
    await update(app, id, other, {});
    await untilIdentity(app, id, { state: 'CHANGED', uid: uids[0], otherUid: uids[1] });
  });

  it('a credential that may not read the UID neither changes nor clears the known identity', async () => {
    const id = await register(app, 'narrowed', kubeconfigOf(await servers.target(1, 'admin-1')));
    await untilIdentity(app, id, { state: 'KNOWN', uid: uids[0], otherUid: null });
    const narrow = kubeconfigOf(await servers.target(2, 'nobody-2'));
    expect(await update(app, id, narrow, { verify: 'CONNECT' })).toEqual({ __typename: 'UpdateClusterSuccess' });
    await untilState(app, id, 'READY');
    expect(await identityOf(app, id)).toEqual({ state: 'KNOWN', uid: uids[0], otherUid: null });
  });
});
