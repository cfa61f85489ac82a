import { describe, expect, it } from 'vitest';
import { SLOTS } from '../src/domain/probing/probe-slots.ts';
import { POSTGRES } from './support/database-location.ts';
import { kubeconfigOf, register, statusOf } from './support/live.ts';
import { freshApp } from './support/wire.ts';

const NOWHERE = kubeconfigOf({ server: 'https://127.0.0.1:9', insecureSkipTlsVerify: false, token: 't' });
const HOUR_MS = 3_600_000;
const ago = (hours: number) => new Date(Date.now() - hours * HOUR_MS);

/**
 * A cluster that has been READY since a day ago. One replica probed it until an hour ago; others have continued since.
 */
async function probedByOne() {
  const app = await freshApp();
  const { leases, prisma } = app.domain.database;
  if (!leases) throw new Error('nothing is shared here');
  const id = await register(app, 'a', NOWHERE);
  await prisma.cluster.update({ where: { id }, data: { state: 'READY', observedAt: ago(24) } });
  const slot = id % SLOTS;
  const until = ago(1);
  await prisma.replica.create({ data: { id: 'held it', roundFinishedAt: until, expiresAt: ago(0) } });
  await prisma.replica.create({ data: { id: 'another', roundFinishedAt: ago(0), expiresAt: ago(-1) } });
  await leases.take('held it', [slot]);
  return { app, id, slot, until, leases, prisma };
}

describe.runIf(POSTGRES !== undefined)('the age of a state', () => {
  it.each([
    ['goes on', async () => {}],
    ['has given it up', async ({ leases, slot }) => leases.give('held it', [slot])],
    ['has ended', async ({ leases }) => leases.leave('held it')],
  ] as [string, (one: Awaited<ReturnType<typeof probedByOne>>) => Promise<void>][])(
    'the age is that of the last round of the probing replica when that replica %s',
    async (_what, happen) => {
      const one = await probedByOne();
      await happen(one);
      expect((await statusOf(one.app, one.id)).observedAt).toBe(one.until.toISOString());
    },
  );

  it.each(['another', 'begins just now'])(
    'the age is known for a cluster that another replica takes over: %s',
    async (taker) => {
      const { app, id, slot, until, leases, prisma } = await probedByOne();
      await leases.leave('held it');
      await leases.heartbeat(taker, new Map());
      expect((await leases.take(taker, [slot])).size).toBe(1);
      expect((await statusOf(app, id)).observedAt).toBe(until.toISOString());
      await leases.take(taker, [slot + 1]);
      const { roundFinishedAt } = await prisma.replica.findUniqueOrThrow({ where: { id: taker } });
      expect(roundFinishedAt).toEqual(until);
    },
  );

  it('the rounds of a replica that has been gone for a day are deleted once no row refers to them', async () => {
    const { leases, prisma, slot } = await probedByOne();
    await prisma.replica.createMany({
      data: [
        { id: 'was killed', roundFinishedAt: ago(30), expiresAt: ago(25) },
        { id: 'shared nothing', roundFinishedAt: ago(25) },
        { id: 'shared nothing since', roundFinishedAt: ago(23) },
      ],
    });
    await prisma.replica.update({ where: { id: 'held it' }, data: { expiresAt: ago(25) } });
    const left = async () => (await prisma.replica.findMany({ orderBy: { id: 'asc' } })).map(({ id }) => id);
    await leases.take('another', [slot + 1]);
    expect(await left()).toEqual(['another', 'held it', 'shared nothing since']);
    await prisma.probeLease.update({ where: { slot }, data: { expiresAt: ago(25) } });
    await leases.take('another', [slot]);
    await leases.take('another', [slot + 2]);
    expect(await left()).toEqual(['another', 'shared nothing since']);
  });
});
