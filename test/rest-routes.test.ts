import { validate } from 'graphql';
import { describe, expect, it } from 'vitest';
import { schema } from '../src/graphql/schema.ts';
import { ROWS } from '../src/rest/routes.ts';
import { CLUSTERS, type TestApp } from './support/app.ts';
import { canary, contexts, kubeconfig, needingCommand, usable } from './support/kubeconfigs.ts';
import { freshApp } from './support/wire.ts';

// No server listens there: loopback, so that the failing connections stay on this machine.
const nowhere = 'https://127.0.0.1:1';
const config = kubeconfig({ cluster: { server: nowhere } });

const list = async (app: TestApp) => (await app.rest('GET', CLUSTERS)).body;
const named = async (app: TestApp, name: string) =>
  (await list(app)).find((cluster: { name: string }) => cluster.name === name);
const create = async (app: TestApp, body: object): Promise<number> => {
  const { status, body: created } = await app.rest('POST', CLUSTERS, { config, ...body });
  expect(status).toBe(201);
  return created.id;
};

it.each(ROWS.map(({ method, path, document }) => [method, path, document] as const))(
  'the document of %s %s is valid, since requests do not validate it again',
  (_method, _path, document) => {
    expect(validate(schema, document)).toEqual([]);
  },
);

describe('the list', () => {
  it('the list is an empty array while the registry is empty', async () => {
    const app = await freshApp();
    const { status, text, headers } = await app.rest('GET', CLUSTERS);
    expect([status, text]).toEqual([200, '[]']);
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  });

  it('the list matches the documented example byte for byte', async () => {
    const app = await freshApp();
    const prometheusURL = 'http://prometheus.monitoring.svc:9090';
    const description = 'staging cluster';
    await create(app, { name: 'demo-cluster', description, prometheusURL, isDefault: true });
    await app.domain.database.write('status', (tx) =>
      tx.cluster.update({ where: { id: 1 }, data: { version: 'v1.31.0', state: 'READY' } }),
    );
    expect((await app.rest('GET', CLUSTERS)).text).toBe(
      '[{"id":1,"name":"demo-cluster","description":"staging cluster","enabled":true,"inCluster":false,"isDefault":true,' +
        '"prometheusURL":"http://prometheus.monitoring.svc:9090","config":"","version":"v1.31.0"}]',
    );
  });

  it('the list contains the whole registry across pages, ordered by id', async () => {
    const app = await freshApp();
    const names = Array.from({ length: 130 }, (_, index) => `cluster-${200 - index}`);
    await app.rest('POST', `${CLUSTERS}import`, { config: contexts(names) });
    const ids = (await list(app)).map(({ id }: { id: number }) => id);
    expect(ids).toEqual(names.map((_, index) => index + 1));
  });

  it('the list shows neither version nor error of a disabled cluster', async () => {
    const app = await freshApp();
    await create(app, { name: 'off', enabled: false, config: 'no kubeconfig' });
    await app.domain.database.write('status', (tx) =>
      tx.cluster.update({ where: { id: 1 }, data: { version: 'v1.31.0' } }),
    );
    const [shown] = await list(app);
    expect(Object.keys(shown)).not.toContain('version');
    expect(Object.keys(shown)).not.toContain('error');
    await app.rest('PUT', `${CLUSTERS}1`, { enabled: true });
    expect(await list(app)).toMatchObject([{ error: expect.any(String), version: 'v1.31.0' }]);
  });

  it('the list drops the version when the credential changes, and keeps it otherwise', async () => {
    const app = await freshApp();
    await create(app, { name: 'one' });
    await app.domain.database.write('status', (tx) =>
      tx.cluster.update({ where: { id: 1 }, data: { version: 'v1.31.0' } }),
    );
    await app.rest('PUT', `${CLUSTERS}1`, { description: 'other', config });
    expect(await list(app)).toMatchObject([{ version: 'v1.31.0' }]);
    await app.rest('PUT', `${CLUSTERS}1`, { config: kubeconfig({ cluster: { server: `${nowhere}/other` } }) });
    expect((await list(app))[0]).not.toHaveProperty('version');
  });
});

describe('create', () => {
  it('create returns the documented body byte for byte', async () => {
    const app = await freshApp();
    const { status, text, headers } = await app.rest('POST', CLUSTERS, { name: 'demo-cluster', config });
    expect([status, text]).toEqual([201, '{"id":1,"message":"cluster created successfully"}']);
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  });

  it('create stores every documented field, and never returns the kubeconfig', async () => {
    const app = await freshApp();
    const fields = { description: 'd', prometheusURL: 'https://prometheus', isDefault: true, enabled: false };
    await create(app, { name: 'all', ...fields });
    await create(app, { name: 'pod', inCluster: true });
    expect(await list(app)).toMatchObject([
      { id: 1, name: 'all', ...fields, inCluster: false, config: '' },
      { id: 2, name: 'pod', description: '', prometheusURL: '', isDefault: false, enabled: true, inCluster: true },
    ]);
  });

  it('create takes the default from the cluster that has it, or leaves it when the name is taken', async () => {
    const app = await freshApp();
    await create(app, { name: 'one', isDefault: true });
    await create(app, { name: 'two', isDefault: true });
    expect(await list(app)).toMatchObject([{ isDefault: false }, { isDefault: true }]);
    const refused = await app.rest('POST', CLUSTERS, { name: 'one', config, isDefault: true });
    expect([refused.status, refused.text]).toEqual([409, '{"error":"cluster already exists"}']);
    expect(await list(app)).toMatchObject([{ isDefault: false }, { isDefault: true }]);
  });

  it('create stores a kubeconfig that cannot be used, and the list shows the reason', async () => {
    const app = await freshApp();
    for (const [name, unusable] of Object.entries({ EKS: needingCommand.EKS, text: 'no kubeconfig', none: '' }))
      await create(app, { name, config: unusable });
    const shown = await list(app);
    expect(shown.map(({ error }: { error?: string }) => typeof error)).toEqual(['string', 'string', 'string']);
    expect(shown[0].error).toContain('exec');
    expect(JSON.stringify(shown) + app.logged()).not.toContain(canary);
    await app.rest('PUT', `${CLUSTERS}1`, { config: usable.k3s, enabled: false });
    expect((await list(app))[0]).not.toHaveProperty('error');
  });
});

describe('update', () => {
  it('update returns the documented body byte for byte', async () => {
    const app = await freshApp();
    await create(app, { name: 'one' });
    const { status, text } = await app.rest('PUT', `${CLUSTERS}1`, { description: 'new' });
    expect([status, text]).toEqual([200, '{"message":"cluster updated successfully"}']);
  });

  it('update leaves every field that is absent or null unchanged', async () => {
    const app = await freshApp();
    await create(app, { name: 'one', description: 'd', prometheusURL: 'http://p', isDefault: true, enabled: false });
    const [before] = await list(app);
    const none = { name: null, description: null, config: null, prometheusURL: null };
    const nulls = { ...none, inCluster: null, isDefault: null, enabled: null };
    for (const body of [{}, nulls, { config: '', name: '' }]) {
      expect((await app.rest('PUT', `${CLUSTERS}1`, body)).status).toBe(200);
      expect(await list(app)).toEqual([before]);
    }
  });

  it('update leaves the stored kubeconfig unchanged when config is absent or empty', async () => {
    const app = await freshApp();
    await create(app, { name: 'one' });
    const stored = () => app.domain.database.prisma.clusterCredential.findFirstOrThrow();
    const before = await stored();
    await app.rest('PUT', `${CLUSTERS}1`, { config: '', description: 'new' });
    await app.rest('PUT', `${CLUSTERS}1`, { description: 'newer', inCluster: false });
    expect(await stored()).toEqual(before);
    await app.rest('PUT', `${CLUSTERS}1`, { config: usable.kind, enabled: false });
    expect(await stored()).not.toEqual(before);
  });

  it('update returns to the stored kubeconfig when a cluster stops being in-cluster', async () => {
    const app = await freshApp();
    await create(app, { name: 'one', config: needingCommand.GKE });
    const { error } = await named(app, 'one');
    await app.rest('PUT', `${CLUSTERS}1`, { inCluster: true });
    expect(await named(app, 'one')).toMatchObject({ inCluster: true });
    expect((await named(app, 'one')).error).not.toBe(error);
    await app.rest('PUT', `${CLUSTERS}1`, { inCluster: false });
    expect(await named(app, 'one')).toMatchObject({ inCluster: false, error });
  });

  it('update renames a cluster, and clears the fields that may be empty', async () => {
    const app = await freshApp();
    await create(app, { name: 'one', description: 'd', prometheusURL: 'http://p' });
    await app.rest('PUT', `${CLUSTERS}1`, { name: 'renamed', description: '', prometheusURL: '' });
    expect(await list(app)).toMatchObject([{ id: 1, name: 'renamed', description: '', prometheusURL: '' }]);
  });

  it('update changes nothing at all when the new name is taken', async () => {
    const app = await freshApp();
    await create(app, { name: 'one', isDefault: true });
    await create(app, { name: 'two' });
    const before = await list(app);
    const body = { name: 'one', isDefault: true, description: 'new' };
    const { status, text } = await app.rest('PUT', `${CLUSTERS}2`, body);
    expect([status, text]).toEqual([409, '{"error":"cluster already exists"}']);
    expect(await list(app)).toEqual(before);
    expect((await app.rest('PUT', `${CLUSTERS}1`, { name: 'one' })).status).toBe(200);
  });

  it('update moves the default, and leaves the registry without one when the default cluster gives it up', async () => {
    const app = await freshApp();
    await create(app, { name: 'one', isDefault: true });
    await create(app, { name: 'two' });
    await app.rest('PUT', `${CLUSTERS}2`, { isDefault: true });
    expect(await list(app)).toMatchObject([{ isDefault: false }, { isDefault: true }]);
    await app.rest('PUT', `${CLUSTERS}1`, { isDefault: false });
    expect(await list(app)).toMatchObject([{ isDefault: false }, { isDefault: true }]);
    await app.rest('PUT', `${CLUSTERS}2`, { isDefault: false });
    expect(await list(app)).toMatchObject([{ isDefault: false }, { isDefault: false }]);
    expect((await app.rest('DELETE', `${CLUSTERS}2`)).status).toBe(200);
  });
});

describe('delete', () => {
  it('delete returns the documented body byte for byte, once', async () => {
    const app = await freshApp();
    await create(app, { name: 'one' });
    const { status, text } = await app.rest('DELETE', `${CLUSTERS}1`);
    expect([status, text]).toEqual([200, '{"message":"cluster deleted successfully"}']);
    const again = await app.rest('DELETE', `${CLUSTERS}1`);
    expect([again.status, again.text]).toEqual([404, '{"error":"cluster not found"}']);
    expect(await app.domain.database.prisma.clusterCredential.count()).toBe(0);
  });

  it('delete refuses the default cluster', async () => {
    const app = await freshApp();
    await create(app, { name: 'one', isDefault: true });
    const { status, text } = await app.rest('DELETE', `${CLUSTERS}1`);
    expect([status, text]).toEqual([400, '{"error":"cannot delete default cluster"}']);
    expect(await list(app)).toHaveLength(1);
  });

  it('delete never frees an id for reuse, even that of the last cluster', async () => {
    const app = await freshApp();
    await create(app, { name: 'one' });
    await create(app, { name: 'two' });
    await app.rest('DELETE', `${CLUSTERS}2`);
    await app.rest('DELETE', `${CLUSTERS}1`);
    expect(await create(app, { name: 'one' })).toBe(3);
  });
});
