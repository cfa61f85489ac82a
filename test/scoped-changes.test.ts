import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { follow } from './support/followed-changes.ts';
import { defineRole, keyWith } from './support/users.ts';

let app: TestApp;
let headers: { Authorization: string };
beforeEach(async () => {
  app = await startApp();
  onTestFinished(() => app.close());
  for (const [name, env] of [
    ['one', 'staging'],
    ['two', 'staging'],
    ['hidden', 'prod'],
  ] as const)
    await create(name, env);
  await defineRole(app, { name: 'staging', actions: ['clusters.read'], clusters: { labelSelector: 'env=staging' } });
  ({ headers } = await keyWith(app, ['staging']));
});

const create = (name: string, env: string) =>
  app.graphql('mutation ($input: CreateClusterInput!) { createCluster(input: $input) { __typename } }', {
    input: { name, labels: [{ key: 'env', value: env }], verify: 'NONE' },
  });
const update = (name: string, more: object) =>
  app.graphql('mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) { __typename } }', {
    input: { by: { name }, ...more },
  });
const relabel = (name: string, env: string) => update(name, { labels: [{ key: 'env', value: env }] });
const cursor = async () =>
  (await app.graphql('{ clusters { changesCursor } }', {}, headers)).data.clusters.changesCursor;

/** A change is heard of within a second (contract.md), on a busy machine too within twice that. */
const WITHIN = { timeout: 2_000 };

describe('one who sees some clusters', () => {
  it('hears that a cluster left the scope, and that one entered it', async () => {
    const { told } = await follow(app, headers);
    await relabel('one', 'prod');
    await expect.poll(told, WITHIN).toEqual(['-1']);
    await relabel('hidden', 'staging');
    await expect.poll(told, WITHIN).toEqual(['-1', '+hidden']);
  });

  it('hears it when the role is defined anew', async () => {
    const { told } = await follow(app, headers);
    await defineRole(app, { name: 'staging', actions: ['clusters.read'], clusters: { names: ['t*', 'h?dden'] } });
    await expect.poll(told, WITHIN).toEqual(['-1', '+hidden']);
  });

  it('hears of the deletes of what they see, and of no other', async () => {
    const { told } = await follow(app, headers);
    await app.rest('DELETE', `${CLUSTERS}3`);
    await app.rest('DELETE', `${CLUSTERS}2`);
    await expect.poll(told, WITHIN).toEqual(['-2']);
  });

  it('gets cursors that tell nothing of the rest', async () => {
    const before = await cursor();
    await update('hidden', { description: 'changed' });
    await create('hidden too', 'prod');
    await app.rest('DELETE', `${CLUSTERS}3`);
    expect(await cursor()).toBe(before);
    await update('one', { description: 'changed' });
    expect(await cursor()).not.toBe(before);
  });

  it('cannot change what decides who sees a cluster, nor learn that a name is taken', async () => {
    await defineRole(app, {
      name: 'writer',
      actions: ['clusters.read', 'clusters.update'],
      clusters: { names: ['one'] },
    });
    const writer = await keyWith(app, ['writer']);
    const ask = async (more: object) => {
      const document = 'mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) { __typename } }';
      const { data } = await app.graphql(document, { input: { by: { name: 'one' }, ...more } }, writer.headers);
      return data.updateCluster.__typename;
    };
    expect(await ask({ description: 'changed' })).toBe('UpdateClusterSuccess');
    for (const more of [{ name: 'hidden' }, { name: 'free' }, { labels: [] }, { labels: null }, { isDefault: true }])
      expect(await ask(more)).toBe('ForbiddenError');
  });

  it('goes on after a cursor: nothing when nothing of theirs changed, else all that they see', async () => {
    let after = '';
    // Again where the change of theirs was made before the stream had looked.
    await vi.waitFor(async () => {
      after = await cursor();
      await update('hidden', { description: after });
      const same = await follow(app, headers, after);
      await update('two', { description: after });
      await expect.poll(same.told).toEqual(['+two']);
    }, 10_000);
    const later = await follow(app, headers, after);
    await expect.poll(later.told).toEqual(['+one', '+two']);
    const [last] = later.changes.slice(-1);
    expect(last?.cursor).toBe(await cursor());
  });

  it('lists again when the scope has changed since the cursor, and can go on then', async () => {
    const after = await cursor();
    await relabel('one', 'prod');
    const { told, changes } = await follow(app, headers, after);
    await expect.poll(told, WITHIN).toEqual(['reset']);
    expect(changes[0]?.cursor).toBe(await cursor());
    const again = await follow(app, headers, changes[0]?.cursor);
    await update('two', { description: 'changed' });
    await expect.poll(again.told).toEqual(['+two']);
    await expect.poll(told, WITHIN).toEqual(['reset', '+two']);
  });

  it('cannot use the cursor of one who sees everything, nor the other way round', async () => {
    const { data } = await app.graphql('{ clusters { changesCursor } }');
    await expect.poll((await follow(app, headers, data.clusters.changesCursor)).told).toEqual(['reset']);
    const admin = { Authorization: app.admin };
    await expect.poll((await follow(app, admin, await cursor())).told).toEqual(['reset']);
  });
});

describe('one who stands still in the middle of what is told', () => {
  let key: string;
  const caller = async () => {
    const counters = await app.domain.database.counters();
    return { viewer: (await app.domain.apiKeys.authenticate(key, { ...counters, local: true })) ?? null };
  };
  const read = async (after: string) => {
    const ending = new AbortController();
    onTestFinished(() => ending.abort());
    const options = { signal: ending.signal, caller };
    return app.domain.clusterChanges.follow(await caller(), { after }, { select: { name: true } }, options);
  };

  it('hears of no cluster that has gone out of sight since', async () => {
    key = headers.Authorization;
    const changes = await read(await cursor());
    await update('one', { description: 'changed' });
    expect((await changes.next()).value).toMatchObject({ kind: 'UPSERTED', cluster: { name: 'one' } });
    await relabel('two', 'prod');
    expect((await changes.next()).value).toMatchObject({ kind: 'REMOVED', databaseId: 2 });
  });

  it('lists again when they see less than everything now', async () => {
    key = app.admin;
    const { data } = await app.graphql('{ clusters { changesCursor } }');
    const changes = await read(data.clusters.changesCursor);
    for (const name of ['one', 'hidden']) await update(name, { description: 'changed' });
    expect((await changes.next()).value).toMatchObject({ kind: 'UPSERTED', cluster: { name: 'one' } });
    key = headers.Authorization;
    expect((await changes.next()).value).toEqual({ kind: 'RESET', cursor: await cursor() });
  });
});
