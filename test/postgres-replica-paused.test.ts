import { expect, it } from 'vitest';
import { rowsOf } from './support/database.ts';
import { POSTGRES } from './support/database-location.ts';
import { atLoad } from './support/load.ts';
import { LEASES, lastProbedBy, names, register, sharesOf, startFleet, untilEven } from './support/replicas.ts';
import { onTestFinished } from './support/running-test.ts';

it.runIf(POSTGRES !== undefined)(
  'a replica that stood still has lost its slots and does not probe them when it resumes',
  { timeout: atLoad(300_000) },
  async () => {
    const { probes, server, dataDir, first, start, key } = await startFleet();
    await register(first, key, server, 12);
    await untilEven(dataDir, 1);
    const [{ holder: holderOfFirst } = { holder: '' }] = await sharesOf(dataDir);
    const second = await start();
    await untilEven(dataDir, 2);
    const heldBySecond = async () => (await rowsOf(dataDir, LEASES)).filter(({ holder }) => holder !== holderOfFirst);
    // None of its attempts is in progress: a connection that was begun before would continue when it resumes.
    const unprobed = async () => {
      const slots = new Set((await heldBySecond()).map(({ slot }) => slot));
      const tried = lastProbedBy(probes, second.name);
      return names.slice(0, 12).filter((name, index) => slots.has(index + 1) && !tried.includes(name));
    };
    await expect.poll(unprobed, { timeout: 30_000 }).toEqual([]);
    const ofSecond = await heldBySecond();
    expect(ofSecond.length).toBeGreaterThan(0);
    second.kill('SIGSTOP');
    onTestFinished(() => second.kill('SIGCONT'));
    await untilEven(dataDir, 1);
    const after = new Map((await rowsOf(dataDir, LEASES)).map(({ slot, fence }) => [slot, Number(fence)]));
    for (const { slot, fence } of ofSecond) expect(after.get(slot)).toBeGreaterThan(Number(fence));
    const woken = Date.now();
    second.kill('SIGCONT');
    await untilEven(dataDir, 2);
    // The new holder does not probe immediately after the old one.
    const soon = probes.filter(({ at }) => at >= woken && at < woken + 200);
    expect(soon.filter(({ by }) => by === second.name)).toEqual([]);
  },
);
