import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Caller } from '../src/domain/access/caller.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { follow } from './support/followed-changes.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';
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

/** A change arrives within a second (docs/replicas.md); a busy machine gets twice that. */
const WITHIN = { timeout: atLoad(2_000) };

describe('a caller who sees some clusters', () => {
  it('a scoped stream reports that a cluster left the scope and that one entered it', async () => {
    const { events } = await follow(app, headers);
    await relabel('one', 'prod');
    await expect.poll(events, WITHIN).toEqual(['-1']);
    await relabel('hidden', 'staging');
    await expect.poll(events, WITHIN).toEqual(['-1', '+hidden']);
  });

  it('a scoped stream reports the changes after a role is redefined', async () => {
    const { events } = await follow(app, headers);
    await defineRole(app, { name: 'staging', actions: ['clusters.read'], clusters: { names: ['t*', 'h?dden'] } });
    await expect.poll(events, WITHIN).toEqual(['-1', '+hidden']);
  });

  it('a scoped stream reports deletes of visible clusters and of no others', async () => {
    const { events } = await follow(app, headers);
    await app.rest('DELETE', `${CLUSTERS}3`);
    await app.rest('DELETE', `${CLUSTERS}2`);
    await expect.poll(events, WITHIN).toEqual(['-2']);
  });

  it('cursors of a scoped stream reveal nothing about hidden clusters', async () => {
    const before = await cursor();
    await update('hidden', { description: 'changed' });
    await create('hidden too', 'prod');
    await app.rest('DELETE', `${CLUSTERS}3`);
    expect(await cursor()).toBe(before);
    await update('one', { description: 'changed' });
    expect(await cursor()).not.toBe(before);
  });

  it('a scoped caller cannot change the fields that decide who sees a cluster, nor learn that a name is taken', async () => {
    await defineRole(app, {
      name: 'writer',
      actions: ['clusters.read', 'clusters.update'],
      clusters: { names: ['one'] },
    });
    const writer = await keyWith(app, ['writer']);
    const sendRequest = async (more: object) => {
      const document = 'mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) { __typename } }';
      const { data } = await app.graphql(document, { input: { by: { name: 'one' }, ...more } }, writer.headers);
      return data.updateCluster.__typename;
    };
    expect(await sendRequest({ description: 'changed' })).toBe('UpdateClusterSuccess');
    for (const more of [{ name: 'hidden' }, { name: 'free' }, { labels: [] }, { labels: null }, { isDefault: true }])
      expect(await sendRequest(more)).toBe('ForbiddenError');
  });

  it('a scoped stream resumes after a cursor: with nothing if no visible cluster changed, otherwise with all visible clusters', async () => {
    let after = '';
    // Repeat if the change was made before the stream had read its start.
    await vi.waitFor(async () => {
      after = await cursor();
      await update('hidden', { description: after });
      const same = await follow(app, headers, after);
      await update('two', { description: after });
      await expect.poll(same.events).toEqual(['+two']);
    }, 10_000);
    const later = await follow(app, headers, after);
    await expect.poll(later.events).toEqual(['+one', '+two']);
    const [last] = later.changes.slice(-1);
    expect(last?.cursor).toBe(await cursor());
  });

  it('a scoped stream restarts when the scope has changed since the cursor, and can be resumed from then on', async () => {
    const after = await cursor();
    await relabel('one', 'prod');
    const { events, changes } = await follow(app, headers, after);
    await expect.poll(events, WITHIN).toEqual(['reset']);
    expect(changes[0]?.cursor).toBe(await cursor());
    const again = await follow(app, headers, changes[0]?.cursor);
    await update('two', { description: 'changed' });
    await expect.poll(again.events).toEqual(['+two']);
    await expect.poll(events, WITHIN).toEqual(['reset', '+two']);
  });

  it('a scoped caller cannot use the cursor of an unscoped caller, nor the other way round', async () => {
    const { data } = await app.graphql('{ clusters { changesCursor } }');
    await expect.poll((await follow(app, headers, data.clusters.changesCursor)).events).toEqual(['reset']);
    const admin = { Authorization: app.admin };
    await expect.poll((await follow(app, admin, await cursor())).events).toEqual(['reset']);
  });
});

describe('a reader who pauses in the middle of a batch', () => {
  let key: string;
  const authenticate = async () => {
    const counters = await app.domain.database.counters();
    return (await app.domain.apiKeys.authenticate(key, { ...counters, local: true })) ?? null;
  };
  const read = async (after: string) => {
    const ending = new AbortController();
    onTestFinished(() => ending.abort());
    const caller = new Caller({ viewer: await authenticate(), authenticate });
    return app.domain.clusterChanges.follow(caller, { after }, { select: { name: true } }, { signal: ending.signal });
  };

  it('a paused reader gets no cluster that has left the scope since', async () => {
    key = headers.Authorization;
    const changes = await read(await cursor());
    await update('one', { description: 'changed' });
    expect((await changes.next()).value).toMatchObject({ kind: 'UPSERTED', cluster: { name: 'one' } });
    await relabel('two', 'prod');
    expect((await changes.next()).value).toMatchObject({ kind: 'REMOVED', databaseId: 2 });
  });

  it('a paused reader restarts when they now see less than everything', async () => {
    key = app.admin;
    const { data } = await app.graphql('{ clusters { changesCursor } }');
    const changes = await read(data.clusters.changesCursor);
    for (const name of ['one', 'hidden']) await update(name, { description: 'changed' });
    expect((await changes.next()).value).toMatchObject({ kind: 'UPSERTED', cluster: { name: 'one' } });
    key = headers.Authorization;
    expect((await changes.next()).value).toEqual({ kind: 'RESET', cursor: await cursor() });
  });
});
