import { expect, it } from 'vitest';
import { ProbeSlots, SLOTS } from '../src/domain/probing/probe-slots.ts';
import type { Leases } from '../src/storage/leases.ts';
import { onTestFinished } from './support/running-test.ts';

/** Leases that only this replica ever takes, though another replica is counted on. */
function leasesLeft(): { leases: Leases; taken: Set<number> } {
  const taken = new Set<number>();
  const leases: Leases = {
    heartbeat: async (replica) => ({
      replicas: [replica, 'dead since a moment'],
      leases: Array.from({ length: SLOTS }, (_, slot) => ({
        ...{ slot, fence: 1, loadMs: 0 },
        holder: taken.has(slot) ? replica : undefined,
      })),
    }),
    take: async (_replica, slots) => {
      for (const slot of slots) taken.add(slot);
      return new Map(slots.map((slot) => [slot, { fence: 1, coolDownMs: 0 }]));
    },
    give: async () => {},
    leave: async () => {},
    onGiven: () => () => {},
  };
  return { leases, taken };
}

it('a slot assigned to another replica that does not take it is claimed before the next heartbeat', async () => {
  const { leases, taken } = leasesLeft();
  const slots = new ProbeSlots({ leases });
  onTestFinished(() => slots.close());
  slots.start({ onChange: () => {}, loads: () => new Map(), onError: (error) => expect.unreachable(String(error)) });
  await expect.poll(() => taken.size).toBe(SLOTS / 2);
  await expect.poll(() => slots.size, { timeout: 1_500 }).toBe(SLOTS);
});
