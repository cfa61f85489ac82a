import { expect, it } from 'vitest';
import { SLOTS } from '../src/domain/probing/probe-slots.ts';
import { POSTGRES } from './support/database-location.ts';
import { kubeconfigOf, probingApp, register, untilState } from './support/live.ts';
import { kubernetes, standIn } from './support/stand-in.ts';

/** An API server that never answers for its Services; counts the requests for them, and those still waiting. */
async function silentAboutServices() {
  const answer = kubernetes();
  const asked = { inAll: 0, now: 0 };
  const server = await standIn((request, response) => {
    if (!request.url?.includes('/services')) return answer(request, response);
    asked.inAll++;
    asked.now++;
    response.once('close', () => asked.now--);
  });
  return { asked, server };
}

/** A server that searches the first four of six clusters and would search the others next. */
async function searching() {
  const app = await probingApp();
  const { probeLease } = app.domain.database.prisma;
  if (POSTGRES) await expect.poll(() => probeLease.count({ where: { holder: { not: null } } })).toBe(SLOTS);
  const { asked, server } = await silentAboutServices();
  const config = kubeconfigOf(server.target());
  const ids = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => register(app, name, config)));
  await Promise.all(ids.map((id) => untilState(app, id, 'READY')));
  await expect.poll(() => asked).toEqual({ inAll: 4, now: 4 });
  return { app, asked };
}

it('a server that has retired does not look for Prometheus', async () => {
  const { app, asked } = await searching();
  const retired = app.domain.fleet.retire();
  await expect.poll(() => asked, { timeout: 500 }).toEqual({ inAll: 4, now: 0 });
  await retired;
  expect(asked.inAll).toBe(4);
});

it.runIf(POSTGRES !== undefined)(
  'a replica does not look for Prometheus in a cluster that another replica has taken over',
  async () => {
    const { app, asked } = await searching();
    const { leases, prisma } = app.domain.database;
    await prisma.probeLease.updateMany({
      data: { holder: 'another', fence: { increment: 1 }, expiresAt: new Date(Date.now() + 3_600_000) },
    });
    // A notified listener checks the current leases immediately.
    await leases?.give('another', []);
    await expect.poll(() => asked).toEqual({ inAll: 4, now: 0 });
  },
);
