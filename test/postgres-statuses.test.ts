import { describe, expect, it } from 'vitest';
import type { Observation } from '../src/domain/probing/statuses.ts';
import type { Transaction } from '../src/storage/database.ts';
import type { TestApp } from './support/app.ts';
import { POSTGRES } from './support/database-location.ts';
import { kubeconfigOf, register } from './support/live.ts';
import { freshApp, replicaOf } from './support/wire.ts';

const NOWHERE = kubeconfigOf({ server: 'https://127.0.0.1:9', insecureSkipTlsVerify: false, token: 't' });

/** Two replicas over one registry, neither of which probes. */
async function replicas(): Promise<[TestApp, TestApp]> {
  const first = await freshApp();
  return [first, await replicaOf(first)];
}

/** Registers a cluster and returns an observation of it. */
async function registerAndObserve(app: TestApp, name: string, more: Partial<Observation> = {}): Promise<Observation> {
  const id = await register(app, name, NOWHERE);
  const { uid, credentialsVersion } = await app.domain.database.prisma.cluster.findUniqueOrThrow({ where: { id } });
  return { uid, credentialsVersion, state: 'READY', latencyMs: 1, observedAt: new Date(), ...more };
}

/** Lets one replica store results while another is in the middle of a change that it has written and not committed. */
async function storeDuring(
  [storing, changing]: [TestApp, TestApp],
  found: readonly Observation[],
  change: (tx: Transaction) => Promise<unknown>,
): Promise<void> {
  const during = await changing.domain.database.write('registry', async (tx) => {
    await change(tx);
    const stored = storing.domain.statuses.store(found);
    stored.catch(() => {});
    const waiting = async () => {
      const [row] = await changing.domain.database.prisma.$queryRaw<{ count: number }[]>`SELECT count(*)::int
        FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE%"Cluster"%'`;
      return row?.count;
    };
    await expect.poll(waiting).toBe(1);
    return { stored };
  });
  await during.stored;
}

describe.runIf(POSTGRES !== undefined)('a result that is stored while another replica changes its cluster', () => {
  it.each([
    ['disables it', { enabled: false, state: 'DISABLED' }],
    ['gives it other credentials', { credentialsVersion: { increment: 1 } }],
    ['confirms its identity', { identity: 'b', otherIdentity: null }],
  ])('a result is discarded when the other replica %s', async (_what, data) => {
    const both = await replicas();
    const { prisma } = both[0].domain.database;
    const found = await registerAndObserve(both[0], 'changing', { identity: 'c' });
    await prisma.cluster.update({ where: { uid: found.uid }, data: { identity: 'a', otherIdentity: 'b' } });
    await storeDuring(both, [found], (tx) => tx.cluster.update({ where: { uid: found.uid }, data }));
    const row = await prisma.cluster.findUniqueOrThrow({ where: { uid: found.uid } });
    expect(row.state).toBe('enabled' in data ? 'DISABLED' : 'PENDING');
    expect(row.otherIdentity).toBe('identity' in data ? null : 'b');
    expect(await prisma.auditRecord.count({ where: { action: 'cluster.identity-changed' } })).toBe(0);
  });

  it('a result is dropped when the other replica deletes the cluster, and the results stored with it count', async () => {
    const both = await replicas();
    const { database } = both[0].domain;
    const found = [await registerAndObserve(both[0], 'gone'), await registerAndObserve(both[0], 'stands')];
    const before = await database.counters();
    await storeDuring(both, found, (tx) => tx.cluster.delete({ where: { uid: found[0]?.uid ?? '' } }));
    expect(await database.prisma.cluster.findMany({ select: { name: true, state: true } })).toEqual([
      { name: 'stands', state: 'READY' },
    ]);
    expect((await database.counters()).status).toBe(before.status + 1);
  });
});
