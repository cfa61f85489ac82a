import fc from 'fast-check';
import { expect, it } from 'vitest';
import { COOL_DOWN_MS, COUNTED_MS, LEASE_MS, PROVEN_MS } from '../src/storage/leases.ts';
import { POSTGRES } from './support/database-location.ts';
import { atLoad } from './support/load.ts';
import { freshApp } from './support/wire.ts';

/** The promise: within this many milliseconds no three replicas probe one cluster. */
const WITHIN_MS = 10_000;
/** The longest time that the statements of one step take. */
const STATEMENTS_MS = 1_000;
const SLOT = 7;

/** Replicas that hold the slot one after another, and how each of them ends. */
const histories = fc.array(
  fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    holdsMs: fc.oneof(fc.integer({ min: 0, max: 15_000 }), fc.constant(40_000)),
    end: fc.constantFrom('gives', 'leaves', 'is killed'),
    untilTakenMs: fc.integer({ min: 0, max: 3_000 }),
  }),
  { minLength: 3, maxLength: 8 },
);

/** A free slot, in a database with a time that the test controls. */
async function makeSlot() {
  const { domain } = await freshApp();
  const { leases, prisma } = domain.database;
  if (!leases) throw new Error('nothing is shared here');
  /** Moves every timestamp in the database into the past by this time. */
  const elapse = async (ms: number) => {
    const { askFrom, askedUntil, expiresAt } = await prisma.probeLease.findUniqueOrThrow({ where: { slot: SLOT } });
    const ago = (time: Date | null) => time && new Date(time.getTime() - ms);
    const data = { askFrom: ago(askFrom), askedUntil: ago(askedUntil), expiresAt: ago(expiresAt) };
    await prisma.probeLease.update({ where: { slot: SLOT }, data });
  };
  return {
    clear: () =>
      prisma.probeLease.updateMany({ data: { holder: null, expiresAt: null, askFrom: null, askedUntil: null } }),
    take: async (name: string) => (await leases.take(name, [SLOT])).get(SLOT)?.coolDownMs ?? Number.NaN,
    hold: async (name: string, ms: number) => {
      for (let left = ms; left > 0; left -= LEASE_MS / 2) {
        await elapse(Math.min(left, LEASE_MS / 2));
        await leases.heartbeat(name, new Map([[SLOT, 0]]));
      }
    },
    end: async (name: string, how: string) => {
      if (how === 'gives') await leases.give(name, [SLOT]);
      if (how === 'leaves') await leases.leave(name);
      if (how === 'is killed') await elapse(LEASE_MS);
      return how === 'is killed' ? LEASE_MS : 0;
    },
    elapse,
  };
}

it.runIf(POSTGRES !== undefined)(
  'no three replicas probe the clusters of a slot within ten seconds, and the slot is never free for long',
  { timeout: atLoad(120_000) },
  async () => {
    const slot = await makeSlot();
    await fc.assert(
      fc.asyncProperty(histories, async (history) => {
        await slot.clear();
        const asks: { name: string; from: number; until: number }[] = [];
        let now = 0;
        let before = { taken: Number.NEGATIVE_INFINITY, from: Number.NEGATIVE_INFINITY, asked: true };
        for (const { name, holdsMs, end, untilTakenMs } of history) {
          const taken = now;
          const from = taken + (await slot.take(name));
          // A replica with a lease that ended during its cool-down does not delay the next one.
          const latest = before.asked ? before.taken + COOL_DOWN_MS : before.from;
          expect(from).toBeLessThanOrEqual(Math.max(taken, latest) + STATEMENTS_MS);
          await slot.hold(name, holdsMs);
          const until = taken + holdsMs;
          if (from < until) asks.push({ name, from, until });
          now = until + (await slot.end(name, end));
          // The time when a replica was killed is unknown: it counts as probing until its lease has expired.
          before = { taken, from, asked: from < now + STATEMENTS_MS };
          await slot.elapse(untilTakenMs);
          now += untilTakenMs;
        }
        for (const { from } of asks) {
          const within = asks.filter((other) => other.from <= from && other.until > from - WITHIN_MS);
          expect(new Set(within.map(({ name }) => name)).size).toBeLessThanOrEqual(2);
        }
      }),
      { numRuns: 60 },
    );
  },
);

it.runIf(POSTGRES !== undefined)(
  'other replicas count on a replica from its second heartbeat on, until it is silent',
  async () => {
    const { domain } = await freshApp();
    const { leases, prisma } = domain.database;
    if (!leases) throw new Error('nothing is shared here');
    /** Returns the replicas that others count on, after the heartbeats of `it` are moved into the past by this time. */
    const countedAfter = async (ms: number) => {
      const row = await prisma.replica.findUniqueOrThrow({ where: { id: 'it' } });
      const ago = (time: Date | null) => time && new Date(time.getTime() - ms);
      await prisma.replica.update({
        where: { id: 'it' },
        data: { since: ago(row.since), expiresAt: ago(row.expiresAt) },
      });
      const { replicas } = await leases.heartbeat('other', new Map());
      return replicas.includes('it');
    };
    expect((await leases.heartbeat('it', new Map())).replicas).toEqual(['it']);
    expect(await countedAfter(0)).toBe(false);
    expect(await countedAfter(PROVEN_MS)).toBe(false);
    await leases.heartbeat('it', new Map());
    expect(await countedAfter(0)).toBe(true);
    expect(await countedAfter(COUNTED_MS)).toBe(false);
    await leases.heartbeat('it', new Map());
    expect(await countedAfter(0)).toBe(true);
    await leases.leave('it');
    expect(await countedAfter(0)).toBe(false);
  },
);

it.runIf(POSTGRES !== undefined)(
  'a lease whose end is impossibly late, because a clock was set back, expires with the next heartbeats',
  async () => {
    const { domain } = await freshApp();
    const { leases, prisma } = domain.database;
    if (!leases) throw new Error('nothing is shared here');
    await leases.heartbeat('it', new Map());
    await leases.take('it', [SLOT]);
    const late = new Date(Date.now() + 3_600_000);
    await prisma.probeLease.update({ where: { slot: SLOT }, data: { expiresAt: late } });
    await prisma.replica.update({ where: { id: 'it' }, data: { expiresAt: late, since: new Date(0) } });
    const { replicas } = await leases.heartbeat('other', new Map());
    expect(replicas).toEqual(['other']);
    // Nor does the replica appear to have started later than it did.
    await prisma.replica.update({ where: { id: 'it' }, data: { since: late } });
    await leases.heartbeat('it', new Map());
    const { since } = await prisma.replica.findUniqueOrThrow({ where: { id: 'it' } });
    expect(since?.getTime()).toBeLessThan(Date.now() + STATEMENTS_MS);
    const { expiresAt } = await prisma.probeLease.findUniqueOrThrow({ where: { slot: SLOT } });
    expect(Math.abs((expiresAt?.getTime() ?? 0) - Date.now() - LEASE_MS)).toBeLessThan(STATEMENTS_MS);
  },
);
