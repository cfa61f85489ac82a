import { expect, it } from 'vitest';
import { CLUSTERS, type TestApp } from './support/app.ts';
import { contexts } from './support/kubeconfigs.ts';
import { keyWith } from './support/users.ts';
import { freshApp } from './support/wire.ts';

const path = `${CLUSTERS}import`;
const list = async (app: TestApp) => (await app.rest('GET', CLUSTERS)).body;

it('creates a cluster for every context with only its own cluster and user, and makes the current one the default', async () => {
  const app = await freshApp();
  const body = { config: contexts(['a', 'b'], { 'current-context': 'b' }), inCluster: false };
  const { status, text, headers } = await app.rest('POST', path, body);
  expect([status, text]).toEqual([201, '{"message":"imported 2 clusters successfully"}']);
  expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(await list(app)).toMatchObject([
    { id: 1, name: 'a', description: '', enabled: true, inCluster: false, isDefault: false, config: '' },
    { id: 2, name: 'b', description: '', enabled: true, inCluster: false, isDefault: true, config: '' },
  ]);
  const rows = await app.domain.database.prisma.clusterCredential.findMany({
    include: { cluster: true },
    orderBy: { clusterId: 'asc' },
  });
  const opened = rows.map(({ sealed, cluster: { uid } }) =>
    app.domain.seal.open(sealed, { table: 'ClusterCredential', column: 'sealed', uid }),
  );
  expect(opened.map((text) => text.match(/token-of-./g))).toEqual([['token-of-a'], ['token-of-b']]);
  expect(opened.map((text) => [...new Set(text.match(/.-cluster/g))])).toEqual([['a-cluster'], ['b-cluster']]);
});

it('creates as many clusters as there are contexts, in order', async () => {
  const app = await freshApp();
  const names = Array.from({ length: 250 }, (_, index) => `cluster-${index}`);
  const { text } = await app.rest('POST', path, { config: contexts(names, { 'current-context': 'cluster-200' }) });
  expect(text).toBe('{"message":"imported 250 clusters successfully"}');
  const rows = await list(app);
  expect(rows.map(({ name }: { name: string }) => name)).toEqual(names);
  expect(rows.filter(({ isDefault }: { isDefault: boolean }) => isDefault)).toMatchObject([{ name: 'cluster-200' }]);
  const { clusterCredential, auditRecord } = app.domain.database.prisma;
  expect(await clusterCredential.count()).toBe(250);
  expect(await auditRecord.count({ where: { action: 'cluster.import' } })).toBe(250);
});

it.each([{}, { 'current-context': 'gone' }, { 'current-context': '' }])(
  'makes the first context the default when none is current: %j',
  async (root) => {
    const app = await freshApp();
    await app.rest('POST', path, { config: contexts(['a', 'b'], root) });
    expect(await list(app)).toMatchObject([{ isDefault: true }, { isDefault: false }]);
  },
);

it('creates the one in-cluster cluster as the default', async () => {
  const app = await freshApp();
  const { status, text } = await app.rest('POST', path, { inCluster: true });
  expect([status, text]).toEqual([201, '{"message":"imported 1 clusters successfully"}']);
  const description = 'Kubernetes in-cluster config';
  expect(await list(app)).toMatchObject([{ name: 'in-cluster', description, inCluster: true, isDefault: true }]);
});

it('stores contexts that cannot be used, and the list shows the reason', async () => {
  const app = await freshApp();
  const broken = { name: 'broken', context: { cluster: 'gone', user: 'a-user' } };
  const whole = JSON.parse(contexts(['a']));
  const body = { config: JSON.stringify({ ...whole, contexts: [...whole.contexts, broken] }) };
  expect((await app.rest('POST', path, body)).text).toBe('{"message":"imported 2 clusters successfully"}');
  expect(await list(app)).toMatchObject([
    { name: 'a' },
    { name: 'broken', error: expect.any(String), isDefault: false },
  ]);
});

it('checks first that config is present, then that the registry is empty, then the content of config', async () => {
  const app = await freshApp();
  const sendRequest = async (body: object) => {
    const { status, body: answer } = await app.rest('POST', path, body);
    return [status, answer.error];
  };
  const required = [400, 'config is required when inCluster is false'];
  const notEmpty = [403, 'import not allowed when clusters exist'];
  const none = [{}, { inCluster: false }, { config: '' }, { config: '', inCluster: false }, { config: null }];
  for (const body of none) expect(await sendRequest(body)).toEqual(required);
  for (const config of ['{', 'text', contexts([])])
    expect(await sendRequest({ config })).toEqual([400, expect.stringMatching(/kubeconfig|YAML/)]);
  expect(await list(app)).toEqual([]);
  expect((await app.rest('POST', CLUSTERS, { name: 'one' })).status).toBe(201);
  for (const body of none) expect(await sendRequest(body)).toEqual(required);
  for (const config of ['{', contexts([]), contexts(['a'])]) expect(await sendRequest({ config })).toEqual(notEmpty);
  expect(await sendRequest({ inCluster: true })).toEqual(notEmpty);
  expect(await list(app)).toHaveLength(1);
});

it('quotes nothing from a kubeconfig that cannot be parsed', async () => {
  const app = await freshApp();
  const secret = 'token-that-is-secret';
  for (const config of [`users: [{user: {token: ${secret}`, `${secret}: ${secret}: x`, `"${secret}`, `&${secret} *b`]) {
    const { status, text } = await app.rest('POST', path, { config });
    expect([status, text.includes(secret)]).toEqual([400, false]);
  }
  expect(app.logged()).not.toContain(secret);
});

it('stores nothing when one context cannot become a cluster', async () => {
  const app = await freshApp();
  const { status } = await app.rest('POST', path, { config: contexts(['a', '   ']) });
  expect(status).toBe(400);
  expect(await list(app)).toEqual([]);
});

it('lets exactly one of several concurrent imports succeed', async () => {
  const app = await freshApp();
  const both = ['a', 'b', 'c', 'd'].map((name) => app.rest('POST', path, { config: contexts([name, `${name}2`]) }));
  const statuses = (await Promise.all(both)).map(({ status }) => status);
  expect(statuses.sort()).toEqual([201, 403, 403, 403]);
  expect(await list(app)).toHaveLength(2);
});

it('answers 429 with Retry-After to the third large kubeconfig of one caller, and reads that of another', async () => {
  const app = await freshApp();
  const config = contexts(Array.from({ length: 600 }, (_, index) => `cluster-${index}`));
  const own = await keyWith(app, ['admin']);
  const other = await keyWith(app, ['admin']);
  const run = ({ headers }: typeof own) => app.rest('POST', path, { config }, headers);
  const [theirs, ...mine] = await Promise.all([run(other), run(own), run(own), run(own)]);
  // The first of the two imports fills the registry.
  expect([201, 403]).toContain(theirs?.status);
  const refused = mine.find(({ status }) => status === 429);
  expect(refused?.headers.get('retry-after')).toBe('1');
  expect(refused?.text).toContain('2 of your large kubeconfigs are being read: wait for one of them');
});
