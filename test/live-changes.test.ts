import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { writeChangesCursor } from '../src/domain/clusters/changes-cursor.ts';
import { REMEMBERED_CHANGES } from '../src/domain/registry-change.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { type ChangeStream, openChanges } from './support/changes.ts';
import { temporaryDirectory } from './support/directory.ts';
import { fleetKubeconfig } from './support/kubeconfigs.ts';
import { kubeconfigOf, probingApp, register, untilState } from './support/live.ts';
import { kubernetes, type StandInResponses, standIn } from './support/stand-in.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());
beforeEach(async () => {
  await app.domain.database.prisma.cluster.deleteMany();
});

const caller = systemCaller('command line');

const cursorNow = async (of = app) => (await of.graphql('{ clusters { changesCursor } }')).data.clusters.changesCursor;
const make = async (name: string, fields: object = {}) =>
  (await app.rest('POST', CLUSTERS, { name, ...fields })).body.id as number;
const change = (id: number, fields: object) => app.rest('PUT', `${CLUSTERS}${id}`, fields);
const remove = (id: number) => app.rest('DELETE', `${CLUSTERS}${id}`);

/** Abbreviates a change: `+name description`, `-id`, or `reset`. */
function abbreviate({
  __typename,
  cluster,
  databaseId,
}: NonNullable<Awaited<ReturnType<ChangeStream['next']>>>): string {
  if (__typename === 'ClusterUpserted') return `+${cluster?.name} ${cluster?.description}`.trim();
  return __typename === 'ClusterRemoved' ? `-${databaseId}` : 'reset';
}

async function take(stream: ChangeStream, count: number): Promise<string[]> {
  const changes: string[] = [];
  while (changes.length < count) {
    const next = await stream.next();
    if (!next) break;
    changes.push(abbreviate(next));
  }
  return changes;
}

it('changes arrive in the order in which they were made', async () => {
  const stream = await openChanges(app, app.admin);
  const a = await make('a');
  expect(await take(stream, 1)).toEqual(['+a']);
  await make('b');
  expect(await take(stream, 1)).toEqual(['+b']);
  await change(a, { description: 'new' });
  expect(await take(stream, 1)).toEqual(['+a new']);
  await remove(a);
  expect(await take(stream, 1)).toEqual([`-${a}`]);
});

it('changes that are read together arrive in order, deletes included, with each cluster in its current state', async () => {
  const [a, b] = [await make('a'), await make('b')];
  const after = await cursorNow();
  await change(b, { description: '1' });
  await remove(a);
  const again = await make('a');
  await change(b, { description: '2' });
  await make('c');
  expect(again).not.toBe(a);
  const stream = await openChanges(app, app.admin, { after });
  expect(await take(stream, 4)).toEqual([`-${a}`, '+a', '+b 2', '+c']);
});

it('state changes arrive in the order in which they were found', async () => {
  const ids = [await make('a'), await make('b'), await make('c')];
  const after = await cursorNow();
  for (const id of ids.toReversed())
    await app.domain.database.write('status', (tx, { status = 0 }) =>
      tx.cluster.update({ where: { id }, data: { state: 'READY', statusChange: status } }),
    );
  expect(await take(await openChanges(app, app.admin, { after }), 3)).toEqual(['+c', '+b', '+a']);
});

it('a reader who resumes after any cursor misses no change', async () => {
  const ids = await Promise.all(['a', 'b', 'c', 'd'].map((name) => make(name)));
  const begin = await cursorNow();
  for (const [index, id] of ids.entries()) await change(id, { description: String(index) });
  await remove(ids[0] ?? 0);
  const first = await openChanges(app, app.admin, { after: begin });
  const cursors: string[] = [];
  for (let count = 0; count < 4; count++) cursors.push((await first.next())?.cursor ?? '');
  // Changes that arrive together, except the last one, carry the cursor from before the first of them.
  for (const [index, after] of [begin, ...cursors].entries()) {
    await change(ids[1] ?? 0, { description: `later ${index}` });
    const stream = await openChanges(app, app.admin, { after });
    const changes = (await stream.until(({ cluster }) => cluster?.description === `later ${index}`)).map(abbreviate);
    if (index < 4) expect(changes).toEqual(expect.arrayContaining(['+c 2', '+d 3', `-${ids[0]}`]));
    else expect(changes).toEqual([`+b later ${index}`]);
    stream.close();
  }
});

it('a stream without a cursor delivers only changes made after it opens', async () => {
  await make('before');
  const stream = await openChanges(app, app.admin);
  await make('after');
  expect(await take(stream, 1)).toEqual(['+after']);
});

it('a filtered stream adds a cluster when it starts to match and removes it when it stops matching', async () => {
  const [a, b] = [await make('a'), await make('b')];
  const stream = await openChanges(app, app.admin, { filter: { search: 'wanted' }, after: await cursorNow() });
  await change(a, { description: 'wanted' });
  expect(await take(stream, 1)).toEqual(['+a wanted']);
  await change(a, { description: 'wanted more' });
  expect(await take(stream, 1)).toEqual(['+a wanted more']);
  await change(a, { description: 'other' });
  expect(await take(stream, 1)).toEqual([`-${a}`]);
  await change(b, { description: 'wanted' });
  expect(await take(stream, 1)).toEqual(['+b wanted']);
  await remove(b);
  expect(await take(stream, 1)).toEqual([`-${b}`]);
});

it.each([
  ['after', { after: 'x' }],
  ['after', { after: Buffer.from('1.2.3').toString('base64url') }],
  ['filter', { filter: { labelSelector: '=' } }],
])('rejects a wrong %s', async (_what, variables) => {
  const stream = await openChanges(app, app.admin, variables);
  expect(await stream.next()).toBeUndefined();
  expect(stream.errors().map(({ extensions }) => extensions.code)).toEqual(['INVALID_INPUT']);
});

it('a state that a probe finds arrives as a change', async () => {
  const probing = await probingApp();
  const responses: StandInResponses = {};
  const server = await standIn(kubernetes(responses));
  const ready = await openChanges(probing, probing.admin, { filter: { states: ['READY'] } });
  const all = await openChanges(probing, probing.admin);
  const id = await register(probing, 'a', kubeconfigOf(server.target()));
  const states = (await all.until(({ cluster }) => cluster?.status.state === 'READY')).map(
    ({ cluster }) => cluster?.status.state,
  );
  expect([['PENDING', 'READY'], ['READY']]).toContainEqual(states);
  await ready.until(({ cluster }) => cluster?.status.state === 'READY');
  responses.review = [401, {}];
  await probing.graphql('mutation { probeCluster(input: { by: { name: "a" } }) { __typename } }');
  await all.until(({ cluster }) => cluster?.status.state === 'UNAUTHORIZED');
  await ready.until(({ __typename, databaseId }) => __typename === 'ClusterRemoved' && databaseId === id);
  await untilState(probing, id, 'UNAUTHORIZED');
});

it('changes by another server over the same file arrive too', async () => {
  const DATA_DIR = await temporaryDirectory();
  const [reader, writer] = [await startApp({ DATA_DIR }), await startApp({ DATA_DIR })];
  try {
    const stream = await openChanges(reader, reader.admin);
    const { body } = await writer.rest('POST', CLUSTERS, { name: 'elsewhere' });
    expect(await take(stream, 1)).toEqual(['+elsewhere']);
    await writer.rest('DELETE', `${CLUSTERS}${body.id}`);
    expect(await take(stream, 1)).toEqual([`-${body.id}`]);
    stream.close();
  } finally {
    await reader.close();
    await writer.close();
  }
});

describe('cursors that cannot be resumed', () => {
  it.each([
    [
      'too old',
      async () => {
        const after = await cursorNow();
        const { prisma } = app.domain.database;
        await prisma.counter.update({
          where: { name: 'registry' },
          data: { value: { increment: REMEMBERED_CHANGES + 1 } },
        });
        return after;
      },
    ],
    [
      'of a registry that was since restored',
      async () => {
        const { registry, status } = await app.domain.database.counters();
        return writeChangesCursor({ registry: registry + 1, status });
      },
    ],
    [
      'of states that were since restored',
      async () => {
        const { registry, status } = await app.domain.database.counters();
        return writeChangesCursor({ registry, status: status + 1 });
      },
    ],
  ])('a cursor that is %s gets a reset', async (_what, prepare) => {
    const after = await prepare();
    const stream = await openChanges(app, app.admin, { after });
    const reset = await stream.next();
    expect(reset?.__typename).toBe('ClusterChangesReset');
    await make('b');
    expect(await take(stream, 1)).toEqual(['+b']);
    const again = await openChanges(app, app.admin, { after: reset?.cursor ?? '' });
    expect(await take(again, 1)).toEqual(['+b']);
  });

  it('a cursor more than a thousand changes back gets a reset, and one exactly a thousand back does not', async () => {
    const after = await cursorNow();
    const { body } = await app.rest('POST', `${CLUSTERS}import`, { config: fleetKubeconfig(1_000) });
    expect(body.message).toBe('imported 1000 clusters successfully');
    const stream = await openChanges(app, app.admin, { after });
    const all = await take(stream, 1_000);
    expect(new Set(all).size).toBe(1_000);
    expect(all).not.toContain('reset');
    await make('one more');
    expect(await take(stream, 1)).toEqual(['+one more']);
    expect(await take(await openChanges(app, app.admin, { after }), 1)).toEqual(['reset']);
  });
});

describe('access to a stream of changes', () => {
  it('revoking access ends the stream', async () => {
    const key = await app.domain.apiKeys.create(caller, { name: 'k', roles: ['admin'] });
    const [stream, other] = [await openChanges(app, key.text), await openChanges(app, app.admin)];
    await make('a');
    expect(await take(stream, 1)).toEqual(['+a']);
    await app.domain.apiKeys.revoke(caller, key.id);
    expect(await stream.next()).toBeUndefined();
    expect(stream.errors()).toEqual([]);
    await make('b');
    expect(await take(other, 2)).toEqual(['+a', '+b']);
  });

  it('a slow reader whose access is revoked gets only changes that were already being sent', async () => {
    const key = await app.domain.apiKeys.create(caller, { name: 'k', roles: ['admin'] });
    const description = 'x'.repeat(10_000);
    const count = 500;
    const { prisma } = app.domain.database;
    await app.rest('POST', `${CLUSTERS}import`, { config: fleetKubeconfig(count) });
    const after = await cursorNow();
    await app.domain.database.write('registry', (tx, { registry = 0 }) =>
      tx.cluster.updateMany({ data: { description, registryChange: registry } }),
    );
    const stream = await openChanges(app, key.text, { after });
    expect((await stream.next())?.cluster?.description).toBe(description);
    await app.domain.apiKeys.revoke(caller, key.id);
    await prisma.cluster.updateMany({ data: { description: 'after the revocation' } });
    const seen: string[] = [];
    for (let next = await stream.next(); next; next = await stream.next()) seen.push(next.cluster?.description ?? '');
    expect(seen.length).toBeLessThan(count - 1);
    expect(seen).not.toContain('after the revocation');
  });

  it("a change of access that keeps the reader's permission does not end the stream", async () => {
    const stream = await openChanges(app, app.admin);
    await app.domain.apiKeys.create(caller, { name: 'another', roles: [] });
    await make('a');
    expect(await take(stream, 1)).toEqual(['+a']);
  });

  it('a caller without a role learns nothing, not even that a cursor is too old', async () => {
    const stream = await openChanges(app, app.keyWithoutRole, { after: Buffer.from('0.0').toString('base64url') });
    const { prisma } = app.domain.database;
    await prisma.counter.update({
      where: { name: 'registry' },
      data: { value: { increment: REMEMBERED_CHANGES + 1 } },
    });
    const seen = stream.next();
    const id = await make('a');
    await remove(id);
    const admin = await openChanges(app, app.admin, { after: Buffer.from('0.0').toString('base64url') });
    await admin.next();
    stream.close();
    await expect(seen).rejects.toThrow();
  });

  it('each caller may open fifty streams at a time, and other callers are not affected', async () => {
    const { text } = await app.domain.apiKeys.create(caller, { name: 'many', roles: ['admin'] });
    const streams = await Promise.all(Array.from({ length: 50 }, () => openChanges(app, text)));
    const refused = await openChanges(app, text);
    expect(await refused.next()).toBeUndefined();
    expect(refused.errors().map(({ extensions }) => extensions.code)).toEqual(['TOO_MANY_STREAMS']);
    const [other, left] = [await openChanges(app, app.admin), streams.pop()];
    left?.close();
    await expect
      .poll(async () => {
        const stream = await openChanges(app, text);
        await make(`probe ${Math.random()}`);
        return (await stream.next()) !== undefined;
      })
      .toBe(true);
    expect((await other.next())?.__typename).toBe('ClusterUpserted');
  });
});
