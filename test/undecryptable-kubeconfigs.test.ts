import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { kubeconfigPlace, verifySealed } from '../src/domain/credentials/sealed-kubeconfigs.ts';
import { Seal, sealKey } from '../src/storage/seal.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfigOf, kubeconfigOfAll, listed, register, statusOf, untilState } from './support/live.ts';
import { failToStart, runCommand } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';
import { kubernetes, type StandIn, standIn, token } from './support/stand-in.ts';

const REASON =
  'the stored kubeconfig cannot be decrypted: update the cluster with a new one, or run `kitestring seal verify` to find the cause';

let server: StandIn;
let config: string;
beforeEach(async () => {
  server = await standIn(kubernetes());
  config = kubeconfigOf(server.target(), 'broken');
});

async function serve(dataDir: string, { probing = false, environment = {} } = {}): Promise<TestApp> {
  const app = await startApp({ DATA_DIR: dataDir, ...environment }, { probing });
  onTestFinished(() => app.close());
  return app;
}

/** The ways in which a sealed kubeconfig stops opening. Each returns the new value for the row. */
const DAMAGES: Record<string, (uid: string, sealed: string, other: string) => string> = {
  'is truncated': (_uid, sealed) => sealed.slice(0, -8),
  'was replaced by nonsense': () => 'nonsense',
  'was copied from another cluster': (_uid, _sealed, other) => other,
  'is sealed with a lost key': (uid) => new Seal([sealKey(randomBytes(32))]).seal(config, kubeconfigPlace(uid)),
};
const KINDS = Object.keys(DAMAGES);

async function damage({ domain: { database } }: TestApp, name: string, kind = 'is truncated'): Promise<void> {
  const rows = await database.prisma.clusterCredential.findMany({ include: { cluster: true } });
  const [row, other] = [
    rows.find(({ cluster }) => cluster.name === name),
    rows.find((one) => one.cluster.name !== name),
  ];
  if (!row) throw new Error(`no kubeconfig of ${name} is stored`);
  const sealed = DAMAGES[kind]?.(row.cluster.uid, row.sealed, other?.sealed ?? '') ?? '';
  await database.prisma.clusterCredential.update({ where: { clusterId: row.clusterId }, data: { sealed } });
}

/** A server with the clusters `sound` and `broken`. The kubeconfig of `broken` does not open. */
async function withBroken(kind?: string, environment: Record<string, string> = {}) {
  const app = await serve(await temporaryDirectory(), { environment });
  await register(app, 'sound', config);
  const id = await register(app, 'broken', config, { description: 'before' });
  await damage(app, 'broken', kind);
  return { app, id };
}

const UPDATE = `mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) { __typename
  ... on Error { code message } ... on InvalidInputError { issues { path message } }
  ... on ConnectionFailedError { fault { code message } }
  ... on UpdateClusterSuccess { cluster { name description enabled inCluster revision labels { key value } credential { kind problem }
    status { state } } } } }`;
const update = async (app: TestApp, input: object) =>
  (await app.graphql(UPDATE, { input: { by: { name: 'broken' }, ...input } })).data.updateCluster;
const failuresOf = async ({ domain: { database, seal } }: TestApp) =>
  (await verifySealed(database, seal)).failures.map(({ name }) => name);

describe('the repair of a cluster whose kubeconfig cannot be decrypted', () => {
  it.each(KINDS)('REST PUT with a config repairs a cluster whose sealed kubeconfig %s', async (kind) => {
    const { app, id } = await withBroken(kind);
    expect(await failuresOf(app)).toEqual(['broken']);
    const { status, body } = await app.rest('PUT', `${CLUSTERS}${id}`, { config });
    expect([status, body]).toEqual([200, { message: 'cluster updated successfully' }]);
    expect(await failuresOf(app)).toEqual([]);
    app.domain.fleet.start();
    expect(await untilState(app, id, 'READY')).toMatchObject({ error: null });
  });

  it.each(KINDS)('updateCluster repairs a cluster whose sealed kubeconfig %s', async (kind) => {
    const { app } = await withBroken(kind);
    const updated = await update(app, { credential: { kubeconfig: { text: config } }, verify: 'CONNECT' });
    expect(updated.cluster).toMatchObject({ revision: 2, credential: { kind: 'TOKEN', problem: null } });
    expect(await failuresOf(app)).toEqual([]);
    const again = await update(app, { credential: { kubeconfig: { text: config } } });
    expect(again.cluster.revision).toBe(2);
    const audit = await app.domain.database.prisma.auditRecord.findMany({ where: { action: 'cluster.update' } });
    expect(audit.map(({ changes }) => changes)).toEqual([{ credential: 'changed' }]);
  });

  it.each(KINDS)('a cluster whose sealed kubeconfig %s can become in-cluster, and not return to it', async (kind) => {
    const { app, id } = await withBroken(kind);
    const moved = await update(app, { credential: { inCluster: true } });
    expect(moved.cluster).toMatchObject({ inCluster: true, credential: { kind: 'IN_CLUSTER', problem: null } });
    const issue = { path: ['credential', 'inCluster'], message: REASON };
    for (const verify of ['NONE', 'SYNTAX', 'CONNECT']) {
      const refused = await update(app, { credential: { inCluster: false }, verify });
      expect(refused).toMatchObject({ __typename: 'InvalidInputError', issues: [issue] });
    }
    const { status, body } = await app.rest('PUT', `${CLUSTERS}${id}`, { inCluster: false, description: 'after' });
    expect([status, body]).toEqual([400, { error: `credential.inCluster: ${REASON}` }]);
    expect((await app.rest('PUT', `${CLUSTERS}${id}`, { config })).status).toBe(200);
    expect(await failuresOf(app)).toEqual([]);
  });

  it('an import repairs a cluster whose kubeconfig cannot be decrypted with UPDATE, and leaves it with SKIP', async () => {
    const { app } = await withBroken();
    const run = async (more: object) => {
      const text = kubeconfigOfAll({ broken: server.target(), new: server.target() });
      const { data } = await app.graphql(
        `mutation ($input: ImportClustersInput!) { importClusters(input: $input) { ... on Error { code message }
          ... on ImportClustersSuccess { contexts { context outcome } } } }`,
        { input: { kubeconfig: text, ...more } },
      );
      return data.importClusters.contexts.map(({ outcome }: { outcome: string }) => outcome);
    };
    expect(await run({ dryRun: true, onNameTaken: 'UPDATE' })).toEqual(['UPDATED', 'CREATED']);
    expect(await run({ contexts: ['broken'] })).toEqual(['SKIPPED']);
    expect(await failuresOf(app)).toEqual(['broken']);
    expect(await run({ onNameTaken: 'UPDATE' })).toEqual(['UPDATED', 'CREATED']);
    expect(await failuresOf(app)).toEqual([]);
  });
});

describe('a cluster whose kubeconfig cannot be decrypted', () => {
  it('every other field of a cluster whose kubeconfig cannot be decrypted can be changed, and it can be deleted', async () => {
    const { app, id } = await withBroken();
    const fields = { description: 'after', enabled: false, name: 'renamed', labels: [{ key: 'a', value: 'b' }] };
    expect(await update(app, { ...fields, credential: { inCluster: false } })).toMatchObject({ cluster: fields });
    const enabled = await app.rest('PUT', `${CLUSTERS}${id}`, { enabled: true, inCluster: false, config: '' });
    expect(enabled.status).toBe(200);
    expect(await failuresOf(app)).toEqual(['renamed']);
    expect((await app.rest('DELETE', `${CLUSTERS}${id}`)).status).toBe(200);
    expect(await failuresOf(app)).toEqual([]);
  });

  it('a probe makes a cluster whose kubeconfig cannot be decrypted UNUSABLE with the reason, also after a restart', async () => {
    const { app, id } = await withBroken();
    const query = `mutation { probeCluster(input: { by: { name: "broken" } }) { ... on ProbeClusterSuccess { cluster {
      status { state error { code message } } } } } }`;
    const error = { code: 'CREDENTIAL_UNUSABLE', message: REASON };
    const { data } = await app.graphql(query);
    expect(data.probeCluster.cluster.status).toEqual({ state: 'UNUSABLE', error });
    expect(await listed(app, id)).toMatchObject({ name: 'broken', config: '', error: REASON });
    await app.close();
    const restarted = await serve(app.dataDir);
    expect(await statusOf(restarted, id)).toMatchObject({ state: 'UNUSABLE', error });
    restarted.domain.fleet.start();
    await untilState(restarted, 1, 'READY');
    expect(await statusOf(restarted, id)).toMatchObject({ state: 'UNUSABLE', error });
  });

  it('a READY cluster whose kubeconfig cannot be decrypted after a restart becomes UNUSABLE at the first probe', async () => {
    const { app, id } = await withBroken();
    await app.rest('PUT', `${CLUSTERS}${id}`, { config });
    app.domain.fleet.start();
    await untilState(app, id, 'READY');
    await app.close();
    const restarted = await serve(app.dataDir);
    await damage(restarted, 'broken');
    restarted.domain.fleet.start();
    expect(await untilState(restarted, id, 'UNUSABLE')).toMatchObject({ error: { message: REASON } });
    // The key is back, or the row is restored: the next probe finds it.
    const [row] = await restarted.domain.database.prisma.cluster.findMany({ where: { id } });
    const sealed = restarted.domain.seal.seal(config, kubeconfigPlace(row?.uid ?? ''));
    await restarted.domain.database.prisma.clusterCredential.update({ where: { clusterId: id }, data: { sealed } });
    await untilState(restarted, id, 'READY');
  });

  it('tests and live reads of a cluster whose kubeconfig cannot be decrypted state the reason', async () => {
    const { app } = await withBroken();
    const fault = { code: 'CREDENTIAL_UNUSABLE', message: REASON };
    const tested = await app.graphql(
      'mutation { testClusterConnection(input: { cluster: { name: "broken" } }) { ... on ConnectionFailedError { fault { code message } } } }',
    );
    expect(tested.data.testClusterConnection).toEqual({ fault });
    const verified = await update(app, { credential: { inCluster: false }, verify: 'CONNECT' });
    expect(verified).toMatchObject({ __typename: 'ConnectionFailedError', fault });
    const live = await app.graphql('{ clusters { nodes { name live { version faults { code message } } } } }');
    expect(live.data.clusters.nodes).toEqual([
      { name: 'sound', live: { version: 'v1.31.0', faults: [] } },
      { name: 'broken', live: { version: null, faults: [fault] } },
    ]);
    expect(app.logged()).not.toMatch(/"level":[56]0/);
    expect(app.logged()).not.toContain(token);
  });

  it('seal verify names a kubeconfig that cannot be decrypted, and seal rotate reseals the others', async () => {
    const { app } = await withBroken('is sealed with a lost key');
    const verified = await runCommand(['seal', 'verify'], { dataDir: app.dataDir });
    expect(verified).toMatchObject({ code: 1, stdout: '1 of 2 sealed kubeconfigs open.\n' });
    expect(verified.stderr).toMatch(
      /^"broken" does not open: .* is sealed with key [\w-]{8}, which is not in the key ring\n$/,
    );
    if (POSTGRES === undefined) {
      const rotated = await runCommand(['seal', 'rotate'], { dataDir: app.dataDir });
      expect(rotated).toMatchObject({
        code: 1,
        stdout: expect.stringContaining('; 1 kubeconfigs were resealed with it'),
      });
    }
    await update(app, { credential: { kubeconfig: { text: config } } });
    expect((await runCommand(['seal', 'verify'], { dataDir: app.dataDir })).code).toBe(0);
  });
});

describe('a start without a key', () => {
  const keys = Array.from({ length: 2 }, () => randomBytes(32));
  const [lost = '', other = ''] = keys.map((key) => key.toString('base64'));
  const lostId = sealKey(Buffer.from(lost, 'base64')).id;

  it('a start with LOST_SEAL_KEYS makes the clusters of the lost key UNUSABLE until they are repaired', async () => {
    const dataDir = await temporaryDirectory();
    const before = await serve(dataDir, { environment: { SEAL_KEY: lost } });
    const id = await register(before, 'broken', config);
    before.domain.fleet.start();
    await untilState(before, id, 'READY');
    await before.close();

    const refused = await failToStart({ dataDir, environment: { SEAL_KEY: other } });
    expect(refused.stderr).toContain(`If it is lost, set LOST_SEAL_KEYS=${lostId} to start without it.`);
    const verified = await runCommand(['seal', 'verify'], { dataDir, environment: { SEAL_KEY: other } });
    expect(verified).toMatchObject({ code: 1, stderr: expect.stringMatching(/^"broken" does not open: /) });

    const environment = { SEAL_KEY: other, LOST_SEAL_KEYS: lostId };
    const after = await serve(dataDir, { environment, probing: true });
    expect(await untilState(after, id, 'UNUSABLE')).toMatchObject({ error: { message: REASON } });
    expect((await after.rest('PUT', `${CLUSTERS}${id}`, { config })).status).toBe(200);
    await untilState(after, id, 'READY');
    await after.close();
    const repaired = await serve(dataDir, { environment: { SEAL_KEY: other }, probing: true });
    await untilState(repaired, id, 'READY');
  });
});
