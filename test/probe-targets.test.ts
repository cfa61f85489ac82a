import { expect, it } from 'vitest';
import { ProbeSlots } from '../src/domain/probing/probe-slots.ts';
import { ProbeTargets } from '../src/domain/probing/probe-targets.ts';
import type { Leases } from '../src/storage/leases.ts';
import { startApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';
import { onTestFinished } from './support/running-test.ts';

/** The probe targets of a registry that the test writes to; `leases` if the probing is shared. */
async function targetsOver(leases?: Leases) {
  const app = await startApp();
  onTestFinished(() => app.close());
  const { database, auditLog: audit } = app.domain;
  const { policy } = app.config;
  const registry = { database, audit, policy, now: () => new Date(), ownChanges: new Set<number>() };
  const targets = new ProbeTargets({ registry, slots: new ProbeSlots({ leases }) });
  const add = (name: string, fields: object = {}) =>
    database.write('registry', (tx, { registry: registryChange = 0 }) =>
      tx.cluster.create({ data: { ...clusterRow(name), registryChange, ...fields } }),
    );
  return { database, targets, add };
}

it('the targets are read again as a whole when the registry has regressed', async () => {
  const { database, targets, add } = await targetsOver();
  const kept = await add('kept');
  const before = await database.counters();
  await add('lost');
  expect(await targets.read()).toHaveLength(2);
  // Simulates a failover that lost the last commit.
  await database.write('status', async (tx) => {
    await tx.cluster.deleteMany({ where: { name: 'lost' } });
    await tx.counter.update({ where: { name: 'registry' }, data: { value: before.registry } });
  });
  expect((await targets.read()).map(({ uid }) => uid)).toEqual([kept.uid]);
});

it('a test requested while a cluster could not be probed is not run once it can be', async () => {
  // Another replica holds every slot.
  const { database, targets, add } = await targetsOver({ onGiven: () => () => {} } as unknown as Leases);
  const { id, uid } = await add('a', { enabled: false });
  targets.probeHere(uid);
  expect(await targets.read()).toEqual([]);
  await database.write('registry', (tx, { registry: registryChange = 0 }) =>
    tx.cluster.update({ where: { id }, data: { enabled: true, registryChange } }),
  );
  expect(await targets.read()).toEqual([]);
  targets.probeHere(uid);
  expect(await targets.read()).toMatchObject([{ uid, once: true }]);
});
