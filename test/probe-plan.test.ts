import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planFor } from '../src/domain/clusters/probe-plan.ts';
import type { Lease, LeaseView } from '../src/storage/leases.ts';

const REPLICAS = ['a', 'b', 'c', 'd', 'e'];

/** Replicas that are counted on, and slots that they, nobody or somebody else holds. */
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

/** What stands when every replica that is there has done its part, and those who were given something took it. */
function afterRound({ replicas, leases }: LeaseView): LeaseView {
  const plans = replicas.map((replica) => [replica, planFor(replica, { replicas, leases })] as const);
  const takers = new Map(plans.flatMap(([replica, { take }]) => take.map((slot) => [slot, replica])));
  const given = new Set(plans.flatMap(([, { give }]) => give));
  return {
    replicas,
    leases: leases.map((lease) => ({
      ...lease,
      holder: given.has(lease.slot) ? undefined : (takers.get(lease.slot) ?? lease.holder),
    })),
  };
}

function loadsOf({ replicas, leases }: LeaseView): number[] {
  return replicas.map((replica) =>
    leases.reduce((sum, { holder, loadMs }) => sum + (holder === replica ? loadMs : 0), 0),
  );
}

describe('a plan', () => {
  it('takes what nobody holds, each slot by one replica, and nothing else', () => {
    fc.assert(
      fc.property(views, (view) => {
        const taken = view.replicas.flatMap((replica) => planFor(replica, view).take);
        const free = view.leases.filter(({ holder }) => holder === undefined);
        expect(taken.sort((left, right) => left - right)).toEqual(free.map(({ slot }) => slot));
      }),
    );
  });

  it('gives only what one holds', () => {
    fc.assert(
      fc.property(views, (view) => {
        for (const replica of view.replicas)
          for (const slot of planFor(replica, view).give)
            expect(view.leases.find((lease) => lease.slot === slot)?.holder).toBe(replica);
      }),
    );
  });

  it('comes to rest, and then each has at most 1.5 times what the idlest has, or no slot that would even it', () => {
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

  it('lets the others be even where one cluster alone weighs more than all that they have', () => {
    const silent = { slot: 59, fence: 1, loadMs: 5_000, holder: 'c' };
    const others = Array.from({ length: 59 }, (_, slot) => ({ slot, fence: 1, loadMs: 25, holder: 'b' }));
    let view: LeaseView = { replicas: ['a', 'b', 'c'], leases: [...others, silent] };
    for (let round = 0; round < 3; round++) view = afterRound(view);
    const [a = 0, b = 0, c] = loadsOf(view);
    expect([a + b, c]).toEqual([59 * 25, 5_000]);
    expect(Math.abs(a - b)).toBeLessThanOrEqual(25);
  });

  it('gives a replica that comes to three even ones its share, in one round', () => {
    const leases = Array.from({ length: 256 }, (_, slot) => ({
      ...{ slot, fence: 1, loadMs: 100 },
      holder: REPLICAS[slot % 3],
    }));
    const view = { replicas: ['a', 'b', 'c', 'd'], leases };
    const given = ['a', 'b', 'c'].flatMap((replica) => planFor(replica, view).give);
    expect(given.length).toBeGreaterThan(48);
    expect(given.length).toBeLessThanOrEqual(64);
    expect(planFor('d', view)).toEqual({ take: [], leave: [], give: [] });
  });
});
