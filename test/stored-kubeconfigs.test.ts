import { expect, it, vi } from 'vitest';
import { CLUSTERS, type TestApp } from './support/app.ts';
import { contexts } from './support/kubeconfigs.ts';
import { onTestFinished } from './support/running-test.ts';
import { freshApp } from './support/wire.ts';

/** A kubeconfig without a current context: it is stored whole, and must be parsed again to detect that. */
const ambiguous = contexts(Array.from({ length: 3_000 }, (_, number) => `cluster-${number}`));
const problem = expect.stringContaining('no context of the kubeconfig is current');

async function appWithAmbiguous(): Promise<TestApp> {
  const app = await freshApp();
  const { data } = await app.graphql(
    `mutation ($text: String!) { createCluster(input: { name: "a", verify: NONE, credential: { kubeconfig: { text: $text } } }) {
      ... on CreateClusterSuccess { cluster { status { state } } } } }`,
    { text: ambiguous },
  );
  expect(data.createCluster.cluster.status.state).toBe('UNUSABLE');
  return app;
}

const UPDATE = `mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) {
  ... on Error { code message } ... on ConnectionFailedError { fault { code } }
  ... on UpdateClusterSuccess { cluster { inCluster credential { problem } } } } }`;

it('a test and a live read of an unusable credential are answered without decrypting it', async () => {
  const app = await appWithAmbiguous();
  const open = vi.spyOn(app.domain.seal, 'open');
  const test = await app.graphql(
    'mutation { testClusterConnection(input: { cluster: { name: "a" } }) { ... on ConnectionFailedError { fault { code message } } } }',
  );
  expect(test.data.testClusterConnection.fault).toEqual({ code: 'CREDENTIAL_UNUSABLE', message: problem });
  const live = await app.graphql('{ cluster(by: { name: "a" }) { live { nodes { name } faults { code message } } } }');
  expect(live.data.cluster.live.faults).toEqual([{ code: 'CREDENTIAL_UNUSABLE', message: problem }]);
  expect(open).not.toHaveBeenCalled();
});

it('the stored kubeconfig of a cluster that stops being in-cluster is parsed in a worker, before the write begins', async () => {
  const app = await appWithAmbiguous();
  const [{ id } = { id: 0 }] = await app.domain.database.prisma.cluster.findMany({ select: { id: true } });
  await app.rest('PUT', `${CLUSTERS}${id}`, { inCluster: true });
  const { seal, database } = app.domain;
  const [openIt, writeIt] = [seal.open.bind(seal), database.write.bind(database)];
  let [turns, turnsToRead] = [0, 0];
  let isDone = false;
  onTestFinished(() => {
    isDone = true;
  });
  const count = () => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  const open = vi.spyOn(seal, 'open').mockImplementationOnce((...given) => {
    setImmediate(count);
    return openIt(...given);
  });
  const write = vi.spyOn(database, 'write').mockImplementationOnce((...given) => {
    turnsToRead = turns;
    return writeIt(...given);
  });
  const { data } = await app.graphql(UPDATE, { input: { by: { name: 'a' }, credential: { inCluster: false } } });
  expect(data.updateCluster).toEqual({ cluster: { inCluster: false, credential: { problem } } });
  expect(open.mock.invocationCallOrder[0]).toBeLessThan(write.mock.invocationCallOrder[0] ?? 0);
  // In the main thread the parsing would take one turn, plus a few for the database.
  expect(turnsToRead).toBeGreaterThan(50);
});
