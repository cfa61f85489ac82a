import { expect, it, onTestFinished } from 'vitest';
import { ProbeSlots } from '../src/domain/clusters/probe-slots.ts';
import { ProbeTargets } from '../src/domain/clusters/probe-targets.ts';
import { startApp } from './support/app.ts';
import { clusterRow } from './support/rows.ts';

it('what is probed is read anew as a whole when the registry went back', async () => {
  const app = await startApp();
  onTestFinished(() => app.close());
  const { database, seal } = app.domain;
  const registry = { database, seal, policy: app.config.policy, now: () => new Date(), own: new Set<number>() };
  const targets = new ProbeTargets({ registry, slots: new ProbeSlots({ leases: undefined }) });
  const add = (name: string) =>
    database.write('registry', (tx, { registry: registryChange = 0 }) =>
      tx.cluster.create({ data: { ...clusterRow(name), registryChange } }),
    );
  const kept = await add('kept');
  const before = await database.counters();
  await add('lost');
  expect(await targets.read()).toHaveLength(2);
  // As after a failover that lost the last commit.
  await database.write('status', async (tx) => {
    await tx.cluster.deleteMany({ where: { name: 'lost' } });
    await tx.counter.update({ where: { name: 'registry' }, data: { value: before.registry } });
  });
  expect((await targets.read()).map(({ uid }) => uid)).toEqual([kept.uid]);
});
