import { describe, expect, it } from 'vitest';
import { openDatabase } from '../src/storage/open-database.ts';
import { ReadShares } from '../src/storage/read-shares.ts';
import { startApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';
import { countWaiting } from './support/database.ts';
import { locationOf, POSTGRES } from './support/database-location.ts';
import { follow } from './support/followed-changes.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';
import { keyWith } from './support/users.ts';
import { subscribe } from './support/wire.ts';

describe('the reads of one caller', () => {
  it("a caller's concurrent reads are limited to its share, run in order, and do not delay other callers", async () => {
    const shares = new ReadShares(2);
    const begun: string[] = [];
    const ends: (() => void)[] = [];
    const read = (caller: string, name: string) =>
      shares.run(caller, () => {
        begun.push(name);
        return new Promise<void>((resolve) => ends.push(resolve));
      });
    const reads = [read('a', 'a1'), read('a', 'a2'), read('a', 'a3'), read('a', 'a4'), read('b', 'b1')];
    await expect.poll(() => begun).toEqual(['a1', 'a2', 'b1']);
    ends[0]?.();
    await reads[0];
    await expect.poll(() => begun).toEqual(['a1', 'a2', 'b1', 'a3']);
    while (ends.length > 0) {
      ends.shift()?.();
      await new Promise(setImmediate);
    }
    await Promise.all(reads);
    expect(begun.at(-1)).toBe('a4');
  });

  it("a caller's reads continue after one that failed", async () => {
    const shares = new ReadShares(1);
    const failing = shares.run('a', () => Promise.reject(new Error('failed')));
    const next = shares.run('a', async () => 'read');
    await expect(failing).rejects.toThrow('failed');
    expect(await next).toBe('read');
  });

  it("a caller's share includes the reads of streams", async () => {
    const app = await startApp();
    onTestFinished(() => app.close());
    const { database } = app.domain;
    await database.write('registry', (tx) => tx.cluster.createMany({ data: [clusterRow('one')] }));
    const [{ headers }, others] = [await keyWith(app, ['viewer']), await keyWith(app, ['viewer'])];
    const streams = await Promise.all([follow(app, headers), follow(app, others.headers)]);
    const change = (description: string) =>
      app.graphql('mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) { __typename } }', {
        input: { by: { name: 'one' }, description },
      });
    await change('begun');
    await expect.poll(() => streams.map(({ events }) => events().length)).toEqual([1, 1]);
    const { promise, resolve } = Promise.withResolvers<void>();
    const who = headers.Authorization.replace(/^kite([0-9]+)-.*/, 'api-key:$1');
    const holds = Array.from({ length: POSTGRES === undefined ? 1 : 4 }, () => database.reads.run(who, () => promise));
    await change('changed');
    await expect.poll(() => streams[1].events().length).toBe(2);
    expect(streams[0].events().length).toBe(1);
    resolve();
    await Promise.all(holds);
    await expect.poll(() => streams[0].events().length).toBe(2);
  });

  it('a caller may have at most 100 documents that filter or count; more are answered 429', async () => {
    const app = await startApp();
    onTestFinished(() => app.close());
    const { headers } = await keyWith(app, ['viewer']);
    let isHeld = true;
    // All reads of the caller wait for this.
    const holds = Array.from({ length: POSTGRES === undefined ? 1 : 4 }, async () =>
      app.domain.database.reads.run(headers.Authorization.replace(/^kite([0-9]+)-.*/, 'api-key:$1'), async () => {
        while (isHeld) await new Promise(setImmediate);
      }),
    );
    const asked = Array.from({ length: 105 }, (_, index) =>
      app.graphql(`{ clusters(filter: { search: "${index}" }) { totalCount } }`, {}, headers),
    );
    const refused = await Promise.all(
      Array.from({ length: 5 }, async () =>
        Promise.race(asked.map(async (answer, index) => ({ ...(await answer), index }))),
      ),
    );
    expect(refused[0]).toMatchObject({ status: 429, errors: [{ extensions: { code: 'RATE_LIMITED' } }] });
    expect(refused[0]?.headers.get('Retry-After')).toBe('1');
    expect((await app.graphql('{ clusters(filter: { search: "x" }) { totalCount } }')).status).toBe(200);
    isHeld = false;
    await Promise.all(holds);
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(100);
    expect(statuses.filter((status) => status === 429)).toHaveLength(5);
  });
});

describe.runIf(POSTGRES !== undefined)('a PostgreSQL in which the reads of one caller wait', () => {
  it('other callers are served, and the waiting caller is told that their reads took too long', {
    timeout: atLoad(40_000),
  }, async () => {
    const app = await startApp();
    onTestFinished(() => app.close());
    const { database } = app.domain;
    await database.write('registry', (tx) => tx.cluster.createMany({ data: [clusterRow('one')] }));
    const { headers } = await keyWith(app, ['viewer']);
    const other = await openDatabase(locationOf(app.dataDir));
    onTestFinished(() => other.close());
    await app.graphql('{ clusters { totalCount } }');
    const locking = other.prisma.$transaction(
      async (tx) => {
        // The transaction is idle for longer than a transaction of the server may be.
        await tx.$executeRaw`SET LOCAL idle_in_transaction_session_timeout = 0`;
        await tx.$executeRaw`LOCK TABLE "ClusterLabel" IN ACCESS EXCLUSIVE MODE`;
        const asked = Array.from({ length: 25 }, (_, index) =>
          app.graphql(`{ clusters(filter: { labelSelector: "!k${index}" }) { totalCount } }`, {}, headers),
        );
        // Half of the connections.
        await expect.poll(() => countWaiting(tx), { timeout: 5_000 }).toBe(4);
        const { data, status } = await app.graphql('{ clusters(filter: { search: "one" }) { totalCount } }');
        expect([status, data?.clusters.totalCount]).toEqual([200, 1]);
        const first = await Promise.race(asked);
        expect(first.errors?.[0]).toMatchObject({ extensions: { code: 'UNAVAILABLE' } });
        expect(first.errors?.[0].message).toContain('took too long');
        expect(await countWaiting(tx)).toBeLessThanOrEqual(4);
        return asked;
      },
      { timeout: 30_000 },
    );
    const answers = await Promise.all(await locking);
    expect(answers.some(({ errors }) => errors === undefined)).toBe(true);
  });

  it('streams whose filter takes too long end, and other callers keep their connections', {
    timeout: atLoad(40_000),
  }, async () => {
    const app = await startApp();
    onTestFinished(() => app.close());
    const { database } = app.domain;
    const { changesCursor } = (await app.graphql('{ clusters { changesCursor } }')).data.clusters;
    await database.write('registry', (tx, { registry = 0 }) =>
      tx.cluster.create({ data: { ...clusterRow('one'), registryChange: registry } }),
    );
    const { headers } = await keyWith(app, ['viewer']);
    const other = await openDatabase(locationOf(app.dataDir));
    onTestFinished(() => other.close());
    await app.graphql('{ viewer { name } }', {}, headers);
    const document = `subscription {
      clusterChanged(after: "${changesCursor}", filter: { labelSelector: "!k" }) { __typename } }`;
    await other.prisma.$transaction(
      async (tx) => {
        // The transaction is idle for longer than a transaction of the server may be.
        await tx.$executeRaw`SET LOCAL idle_in_transaction_session_timeout = 0`;
        await tx.$executeRaw`LOCK TABLE "ClusterLabel" IN ACCESS EXCLUSIVE MODE`;
        const streams = await Promise.all(Array.from({ length: 10 }, () => subscribe(app, document, headers)));
        const texts = streams.map((stream) => stream.text());
        await expect.poll(() => countWaiting(tx), { timeout: 5_000 }).toBe(4);
        const { data } = await app.graphql('{ clusters(filter: { search: "one" }) { totalCount } }');
        expect(data?.clusters.totalCount).toBe(1);
        const first = await Promise.race(texts);
        expect(first).toContain('UNAVAILABLE');
        expect(first).toContain('took too long');
      },
      { timeout: 30_000 },
    );
  });
});
