import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planFor } from '../src/domain/probing/probe-plan.ts';
import type { Lease, LeaseView } from '../src/storage/leases.ts';

const REPLICAS = ['a', 'b', 'c', 'd', 'e'];

/** Live replicas, and slots that are held by them, by an unknown replica, or by none. */
const views: fc.Arbitrary<LeaseView> = fc
  .record({
    replicas: fc.uniqueArray(fc.constantFrom(...REPLICAS), { minLength: 1 }),
    slots: fc.array(
      fc.record({
        holder: fc.constantFrom(undefined, 'another', ...REPLICAS),
        loadMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 5_000, noNaN: true })),
      }),
      { minLength: 1, maxLength: 64 },
    ),
  })
  .map(({ replicas, slots }) => ({
    replicas,
    leases: slots.map(({ holder, loadMs }, slot): Lease => ({ slot, holder, loadMs, fence: 1 })),
  }));

/** Returns the leases after every live replica has done its part and every receiver has taken its slots. */
function afterRound({ replicas, leases }: LeaseView): LeaseView {
  const plans = replicas.map((replica) => [replica, planFor(replica, { replicas, leases })] as const);
  const takers = new Map(plans.flatMap(([replica, { take }]) => take.map((slot) => [slot, replica])));
  const givenSlots = new Set(plans.flatMap(([, { give }]) => give));
  return {
    replicas,
    leases: leases.map((lease) => ({
      ...lease,
      holder: givenSlots.has(lease.slot) ? undefined : (takers.get(lease.slot) ?? lease.holder),
    })),
  };
}

function loadsOf({ replicas, leases }: LeaseView): number[] {
  return replicas.map((replica) =>
    leases.reduce((sum, { holder, loadMs }) => sum + (holder === replica ? loadMs : 0), 0),
  );
}

describe('a rebalancing plan', () => {
  it('a plan assigns each free slot to exactly one replica, and no other slot', () => {
    fc.assert(
      fc.property(views, (view) => {
        const taken = view.replicas.flatMap((replica) => planFor(replica, view).take);
        const free = view.leases.filter(({ holder }) => holder === undefined);
        expect(taken.sort((left, right) => left - right)).toEqual(free.map(({ slot }) => slot));
      }),
    );
  });

  it('a plan gives away only slots that the replica holds', () => {
    fc.assert(
      fc.property(views, (view) => {
        for (const replica of view.replicas)
          for (const slot of planFor(replica, view).give)
            expect(view.leases.find((lease) => lease.slot === slot)?.holder).toBe(replica);
      }),
    );
  });

  it('plans converge, and then each replica has at most 1.5 times the least load, or no slot that would improve it', () => {
    fc.assert(
      fc.property(views, (start) => {
        let view = start;
        for (let round = 0; round < 20; round++) view = afterRound(view);
        for (const replica of view.replicas) expect(planFor(replica, view)).toEqual({ take: [], leave: [], give: [] });
        const loads = loadsOf(view);
        const least = Math.min(...loads);
        for (const [index, load] of loads.entries()) {
          const held = view.leases.filter(({ holder, loadMs }) => holder === view.replicas[index] && loadMs > 0);
          const smallest = Math.min(...held.map(({ loadMs }) => loadMs));
          // Empty slots weigh a tenth of a millisecond each.
          expect(load <= 1.5 * least + 64 * 0.1 || smallest >= load - least - 64 * 0.1).toBe(true);
        }
      }),
    );
  });

  it('a plan balances the other replicas when one cluster alone weighs more than all of their slots', () => {
    const silent = { slot: 59, fence: 1, loadMs: 5_000, holder: 'c' };
    const others = Array.from({ length: 59 }, (_, slot) => ({ slot, fence: 1, loadMs: 25, holder: 'b' }));
    let view: LeaseView = { replicas: ['a', 'b', 'c'], leases: [...others, silent] };
    for (let round = 0; round < 3; round++) view = afterRound(view);
    const [a = 0, b = 0, c] = loadsOf(view);
    expect([a + b, c]).toEqual([59 * 25, 5_000]);
    expect(Math.abs(a - b)).toBeLessThanOrEqual(25);
  });

  it('a plan gives a third replica its share within one round', () => {
    const leases = Array.from({ length: 256 }, (_, slot) => ({
      ...{ slot, fence: 1, loadMs: 100 },
      holder: REPLICAS[slot % 3],
    }));
    const view = { replicas: ['a', 'b', 'c', 'd'], leases };
    const givenSlots = ['a', 'b', 'c'].flatMap((replica) => planFor(replica, view).give);
    expect(givenSlots.length).toBeGreaterThan(48);
    expect(givenSlots.length).toBeLessThanOrEqual(64);
    expect(planFor('d', view)).toEqual({ take: [], leave: [], give: [] });
  });
});
