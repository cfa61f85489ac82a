import { describe, expect, test, vi } from 'vitest';
import { ClusterError, ResourceError } from '../src/kubernetes/cluster-error.ts';
import type { Target } from '../src/kubernetes/kubeconfig/target.ts';
import type { ProbeState } from '../src/kubernetes/prober/probe.ts';
import { createProbe, type ProbeOutcome, type ProbeReport } from '../src/kubernetes/prober/probe-function.ts';
import type { ProbeTarget } from '../src/kubernetes/prober/probe-target.ts';
import { Prober } from '../src/kubernetes/prober/prober.ts';
import { Connections } from '../src/kubernetes/transport/connections.ts';
import { createAuthority } from './support/certificates.ts';
import { StillClock } from './support/clock.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';
import { kubernetes, refusingPort, standIn } from './support/stand-in.ts';

/** How a scripted cluster responds: with a state after some milliseconds, or never. */
type Behaviour = { state: ProbeState; ms?: number } | 'silent';

/** CPU time of one first contact in milliseconds: 1,000 of them over TLS take a core 3.7 s. */
const CPU_MS = 3.7;

/** A prober over a scripted fleet, on a clock that moves only when the test advances it. */
function fleetOf(behaviours: Record<string, Behaviour>, random: () => number = () => 0.5) {
  const clock = new StillClock();
  const at = () => clock.elapsed();
  const attempts: { uid: string; at: number; details: boolean; credentialsVersion: number }[] = [];
  const delivered: (ProbeOutcome & { at: number })[] = [];
  const batches: number[] = [];
  const errors: unknown[] = [];
  const running = new Set<AbortSignal>();
  let busyUntil = 0;
  const fleet = {
    clock,
    at,
    attempts,
    delivered,
    batches,
    errors,
    behaviours,
    most: 0,
    targets: Object.keys(behaviours).map((uid): ProbeTarget => ({ uid, credentialsVersion: 1 })),
    refuseToStore: false,
    holds: true,
    storeMs: 0,
    tries: (uid: string) => attempts.filter((attempt) => attempt.uid === uid).map((attempt) => attempt.at),
    states: (uid: string) => delivered.filter((outcome) => outcome.uid === uid).map(({ state }) => state),
    when: (uid: string, state: ProbeState) => delivered.find((o) => o.uid === uid && o.state === state)?.at,
    change: (uid: string, behaviour: Behaviour) => {
      behaviours[uid] = behaviour;
      const others = fleet.targets.filter((target) => target.uid !== uid);
      const version = fleet.targets.find((target) => target.uid === uid)?.credentialsVersion ?? 0;
      fleet.targets = [...others, { uid, credentialsVersion: version + 1 }];
    },
    remove: (uid: string) => {
      fleet.targets = fleet.targets.filter((target) => target.uid !== uid);
    },
  };
  const prober = new Prober({
    clock,
    random,
    targets: async () => {
      if (fleet.refuseToStore) throw new Error('the database is away');
      return fleet.targets;
    },
    holds: () => fleet.holds,
    probe: async ({ uid, credentialsVersion }, { details, signal, budgetMs }): Promise<ProbeReport> => {
      attempts.push({ uid, at: at(), details, credentialsVersion });
      running.add(signal);
      fleet.most = Math.max(fleet.most, [...running].filter(({ aborted }) => !aborted).length);
      const behaviour = behaviours[uid] ?? 'silent';
      if (behaviour !== 'silent' && behaviour.ms === undefined) busyUntil = Math.max(busyUntil, at()) + CPU_MS;
      const ms = behaviour === 'silent' ? budgetMs : (behaviour.ms ?? busyUntil - at());
      const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      await Promise.race([clock.elapse(Math.min(ms, budgetMs)), aborted]);
      running.delete(signal);
      if (behaviour === 'silent' || ms > budgetMs) {
        const fault = { code: 'TIMED_OUT', message: 'silent' } as const;
        return { state: 'UNREACHABLE', latencyMs: ms, fault, credentialsVersion };
      }
      const { state } = behaviour;
      return { state, latencyMs: ms, credentialsVersion, ...(details && { version: 'v1.31.0' }) };
    },
    store: async (outcomes) => {
      if (fleet.storeMs > 0) await clock.elapse(fleet.storeMs);
      if (fleet.refuseToStore) throw new Error('the database is away');
      batches.push(at());
      delivered.push(...outcomes.map((outcome) => ({ ...outcome, at: at() })));
    },
    onError: (error) => errors.push(error),
  });
  onTestFinished(() => prober.stop());
  return Object.assign(fleet, { prober });
}

/** A pseudorandom sequence from 0 to 1 that is the same each time. */
function seeded(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

describe('probe slots', () => {
  async function firstRound(silent: (index: number) => boolean) {
    const names = Array.from({ length: 1_000 }, (_, index) => `c${index}`);
    const fleet = fleetOf(
      Object.fromEntries(names.map((name, index) => [name, silent(index) ? 'silent' : { state: 'READY' }])),
    );
    fleet.prober.start();
    await fleet.clock.advance(25_000);
    const first = new Map(fleet.delivered.toReversed().map((outcome) => [outcome.uid, outcome]));
    const last = (state: ProbeState) =>
      Math.max(...[...first.values()].filter((outcome) => outcome.state === state).map(({ at }) => at));
    const named = first.size;
    return { named, ready: last('READY'), unreachable: last('UNREACHABLE'), most: fleet.most };
  }

  test('fifty silent clusters of a thousand delay the others by less than a second, and are reported within ten', async () => {
    const pick = seeded();
    const silent = new Set<number>();
    while (silent.size < 50) silent.add(Math.floor(pick() * 1_000));
    const without = await firstRound(() => false);
    const withSilent = await firstRound((index) => silent.has(index));
    expect(without.named).toBe(1_000);
    expect(withSilent.named).toBe(1_000);
    expect(withSilent.ready - without.ready).toBeLessThan(atLoad(1_000));
    expect(withSilent.unreachable).toBeLessThan(atLoad(10_000));
    expect(withSilent.most).toBeLessThanOrEqual(96);
  });

  test('a hundred and twenty dead clusters at the front delay no other for long, and at most 96 attempts run at once', async () => {
    const { named, most, ready } = await firstRound((index) => index < 120);
    expect(named).toBe(1_000);
    expect(most).toBe(96);
    expect(ready).toBeLessThan(atLoad(10_000));
  });

  test('a cluster that needs four seconds is READY', async () => {
    const fleet = fleetOf({ far: { state: 'READY', ms: 4_000 } });
    fleet.prober.start();
    await fleet.clock.advance(4_200);
    expect(fleet.states('far')).toEqual(['READY']);
  });

  test('a new cluster does not wait for hundreds of clusters that are known to be silent', async () => {
    const dead = Array.from({ length: 300 }, (_, index): [string, Behaviour] => [`dead${index}`, 'silent']);
    const fleet = fleetOf(Object.fromEntries(dead), () => 0);
    fleet.prober.start();
    await fleet.clock.advance(60_000);
    for (let number = 0; number < 20; number += 1) {
      const uid = `new${number}`;
      const begin = fleet.at();
      fleet.change(uid, { state: 'READY' });
      void fleet.prober.refresh();
      await fleet.clock.advance(500);
      expect((fleet.when(uid, 'READY') ?? Infinity) - begin).toBeLessThanOrEqual(120);
    }
  });

  test('first contacts and changed clusters are probed before scheduled rounds', async () => {
    const names = Array.from({ length: 500 }, (_, index) => `c${index}`);
    const fleet = fleetOf(Object.fromEntries(names.map((name) => [name, { state: 'READY' }])));
    fleet.prober.start();
    await fleet.clock.advance(20_000);
    for (const name of names) fleet.behaviours[name] = { state: 'READY', ms: 900 };
    await fleet.clock.advance(10_500);
    fleet.change('c7', { state: 'READY' });
    fleet.change('fresh', { state: 'READY' });
    const begin = fleet.at();
    void fleet.prober.refresh();
    await fleet.clock.advance(1_500);
    for (const uid of ['c7', 'fresh']) expect(fleet.tries(uid).at(-1)).toBeLessThan(begin + 1_000);
    expect(names.filter((name) => fleet.tries(name).length < 2).length).toBeGreaterThan(300);
  });
});

describe('scheduling', () => {
  test('rounds are 30 s apart, plus or minus a fifth', async () => {
    const fleet = fleetOf({ a: { state: 'READY', ms: 0 } }, seeded(7));
    fleet.prober.start();
    await fleet.clock.advance(3_600_000);
    const gaps = fleet.tries('a').flatMap((at, index, all) => (index === 0 ? [] : [at - (all[index - 1] ?? 0)]));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(24_000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(36_000);
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan(6_000);
  });

  test('a delayed first attempt waits, and rounds follow', async () => {
    const fleet = fleetOf({ a: { state: 'READY', ms: 0 } });
    fleet.targets = [{ uid: 'a', credentialsVersion: 1, firstInMs: 7_000 }];
    fleet.prober.start();
    await fleet.clock.advance(40_000);
    expect(fleet.tries('a')).toEqual([7_000, 37_000]);
  });

  test('a failing cluster is probed again after 1 to 60 s, with a growing backoff', async () => {
    const gapsWith = async (random: () => number) => {
      const fleet = fleetOf({ a: { state: 'UNAUTHORIZED', ms: 0 } }, random);
      fleet.prober.start();
      await fleet.clock.advance(200_000);
      return fleet.tries('a').flatMap((at, index, all) => (index === 0 ? [] : [at - (all[index - 1] ?? 0)]));
    };
    expect((await gapsWith(() => 1)).slice(0, 7)).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    expect((await gapsWith(() => 0)).slice(0, 7)).toEqual(Array(7).fill(1_000));
  });

  test('one failure of a READY cluster is retried after 1 s before it counts', async () => {
    const fleet = fleetOf({ a: { state: 'READY' } });
    fleet.prober.start();
    await fleet.clock.advance(1_000);
    fleet.behaviours.a = { state: 'UNREACHABLE' };
    await fleet.clock.advance(29_700);
    expect(fleet.tries('a')).toHaveLength(2);
    fleet.behaviours.a = { state: 'READY' };
    await fleet.clock.advance(1_000);
    expect(fleet.tries('a')).toHaveLength(3);
    expect(fleet.states('a')).toEqual(['READY', 'READY']);
    fleet.behaviours.a = { state: 'UNREACHABLE' };
    await fleet.clock.advance(31_500);
    expect(fleet.states('a').at(-1)).toBe('UNREACHABLE');
    const [before = 0, after = 0] = fleet.tries('a').slice(3, 5);
    expect(after - before).toBeCloseTo(1_000 + CPU_MS, 3);
  });

  test('the stored state of a READY cluster gets only one retry after a restart, too', async () => {
    const fleet = fleetOf({ a: { state: 'UNREACHABLE' } });
    fleet.targets = [{ uid: 'a', credentialsVersion: 1, state: 'READY' }];
    fleet.prober.start();
    await fleet.clock.advance(900);
    expect(fleet.delivered).toEqual([]);
    await fleet.clock.advance(1_000);
    expect(fleet.states('a')).toEqual(['UNREACHABLE']);
  });

  test('any other failure counts immediately, and so does any success', async () => {
    const fleet = fleetOf({ a: { state: 'DEGRADED' } });
    fleet.prober.start();
    await fleet.clock.advance(500);
    fleet.behaviours.a = { state: 'UNREACHABLE' };
    await fleet.clock.advance(30_000);
    fleet.behaviours.a = { state: 'READY' };
    await fleet.clock.advance(2_200);
    expect(fleet.states('a')).toEqual(['DEGRADED', 'UNREACHABLE', 'READY']);
  });

  test('version and identity are read at first contact, after a failure, and every ten minutes', async () => {
    const fleet = fleetOf({ a: { state: 'READY', ms: 0 } });
    fleet.prober.start();
    await fleet.clock.advance(1_250_000);
    expect(fleet.attempts.filter(({ details }) => details).map(({ at }) => at)).toEqual([0, 600_000, 1_200_000]);
    fleet.change('a', { state: 'READY' });
    await fleet.prober.refresh();
    expect(fleet.attempts.at(-1)).toMatchObject({ details: true, credentialsVersion: 2 });
  });

  test('a clock that is set back by a minute delays nothing and extends no time limit', async () => {
    const fleet = fleetOf({ a: { state: 'READY', ms: 20 }, silent: 'silent' });
    fleet.prober.start();
    await fleet.clock.advance(10);
    fleet.clock.setBack(60_000);
    await fleet.clock.advance(120);
    expect(fleet.when('a', 'READY')).toBeLessThanOrEqual(120);
    fleet.clock.setBack(60_000);
    fleet.behaviours.a = { state: 'DEGRADED', ms: 20 };
    const began = fleet.at();
    void fleet.prober.probeNow('a');
    await fleet.clock.advance(1_200);
    expect((fleet.when('a', 'DEGRADED') ?? Infinity) - began).toBeLessThanOrEqual(1_200);
    await fleet.clock.advance(6_000);
    expect(fleet.delivered.find(({ uid }) => uid === 'silent')?.latencyMs).toBe(5_000);
    await fleet.clock.advance(632_000 - fleet.at());
    const details = fleet.attempts.filter((attempt) => attempt.uid === 'a' && attempt.details).map(({ at }) => at);
    // The first probe, and the requested one with its confirmation, read them too.
    expect(details.slice(0, -1).every((at) => at <= 1_200)).toBe(true);
    expect(details.at(-1)).toBeGreaterThan(600_000);
    expect(details.at(-1)).toBeLessThanOrEqual(631_000);
    // Displayed times still follow the clock.
    const last = fleet.prober.last('a');
    expect(Math.abs((last?.observedAt.getTime() ?? 0) - fleet.clock.now())).toBeLessThan(31_000);
  });

  test('a clock that is set back does not extend the attempts that were moved to the slow pool', async () => {
    const dead = Array.from({ length: 150 }, (_, index): [string, Behaviour] => [`dead${index}`, 'silent']);
    const fleet = fleetOf(Object.fromEntries(dead));
    fleet.prober.start();
    await fleet.clock.advance(2_500);
    fleet.clock.setBack(60_000);
    await fleet.clock.advance(12_500);
    expect(new Set(fleet.delivered.map(({ uid }) => uid)).size).toBe(150);
  });

  test('a silent cluster that recovers is detected within its backoff', async () => {
    const fleet = fleetOf({ a: 'silent' }, () => 1);
    fleet.prober.start();
    await fleet.clock.advance(600_000);
    fleet.behaviours.a = { state: 'READY' };
    const begin = fleet.at();
    await fleet.clock.advance(66_000);
    expect((fleet.when('a', 'READY') ?? Infinity) - begin).toBeLessThanOrEqual(65_100);
  });
});

describe('results that count', () => {
  test('an attempt that ends after an update or a delete delivers nothing', async () => {
    const fleet = fleetOf({ a: { state: 'UNAUTHORIZED', ms: 500 }, b: { state: 'READY', ms: 500 } });
    fleet.prober.start();
    await fleet.clock.advance(400);
    fleet.change('a', { state: 'READY', ms: 50 });
    fleet.remove('b');
    void fleet.prober.refresh();
    await fleet.clock.advance(2_000);
    expect(fleet.delivered).toMatchObject([{ uid: 'a', state: 'READY', credentialsVersion: 2 }]);
    expect(fleet.prober.last('b')).toBeUndefined();
  });

  test('an undelivered result is dropped when its credential changes', async () => {
    const fleet = fleetOf({
      first: { state: 'READY', ms: 5 },
      a: { state: 'READY', ms: 20 },
      b: { state: 'READY', ms: 20 },
    });
    fleet.prober.start();
    await fleet.clock.advance(50);
    expect(fleet.prober.last('a')).toMatchObject({ state: 'READY', credentialsVersion: 1 });
    fleet.change('a', 'silent');
    fleet.remove('b');
    void fleet.prober.refresh();
    await fleet.clock.advance(500);
    expect(fleet.delivered.map(({ uid }) => uid)).toEqual(['first']);
  });

  test('a change without a notification is detected within a second', async () => {
    const fleet = fleetOf({ a: { state: 'READY' } });
    fleet.prober.start();
    await fleet.clock.advance(500);
    fleet.change('a', { state: 'UNAUTHORIZED' });
    await fleet.clock.advance(1_200);
    expect(fleet.states('a')).toEqual(['READY', 'UNAUTHORIZED']);
  });

  test('without its lease a cluster is not probed, even while the registry cannot be read; with a new lease it is again', async () => {
    const fleet = fleetOf({
      ours: { state: 'READY' },
      slow: { state: 'READY', ms: 4_000 },
      anybodys: { state: 'READY' },
    });
    const leased =
      (fence: number) =>
      (uid: string): ProbeTarget => ({ uid, credentialsVersion: 1, lease: { slot: 1, fence } });
    const anybodys = { uid: 'anybodys', credentialsVersion: 1 };
    fleet.targets = [...['ours', 'slow'].map(leased(1)), anybodys];
    fleet.prober.start();
    await fleet.clock.advance(2_000);
    Object.assign(fleet, { holds: false, refuseToStore: true });
    void fleet.prober.refresh();
    await fleet.clock.advance(100_000);
    expect([fleet.tries('ours').length, fleet.tries('slow').length]).toEqual([1, 1]);
    expect(fleet.tries('anybodys').length).toBeGreaterThan(2);
    expect(fleet.prober.last('slow')).toBeUndefined();
    fleet.targets = [...['ours', 'slow'].map(leased(2)), anybodys];
    Object.assign(fleet, { holds: true, refuseToStore: false });
    await fleet.clock.advance(10_000);
    expect([fleet.tries('ours').length, fleet.tries('slow').length]).toEqual([2, 2]);
    expect(fleet.delivered.findLast(({ uid }) => uid === 'slow')?.lease).toEqual({ slot: 1, fence: 2 });
  });

  test('a one-off attempt is not repeated while its result cannot be stored, except on request', async () => {
    const fleet = fleetOf({ a: { state: 'READY' } });
    fleet.targets = [{ uid: 'a', credentialsVersion: 1, once: true }];
    fleet.prober.start();
    await fleet.clock.advance(1);
    fleet.refuseToStore = true;
    await fleet.clock.advance(120_000);
    expect(fleet.tries('a')).toHaveLength(1);
    void fleet.prober.probeNow('a');
    await fleet.clock.advance(120_000);
    expect(fleet.tries('a')).toHaveLength(2);
    fleet.refuseToStore = false;
    await fleet.clock.advance(2_000);
    expect(fleet.states('a')).toEqual(['READY']);
  });

  test('results are delivered in batches, at most 100 ms late', async () => {
    const names = Array.from({ length: 300 }, (_, index) => `c${index}`);
    const fleet = fleetOf(
      Object.fromEntries(names.map((name, index) => [name, { state: 'READY', ms: 5 + (index % 50) }])),
    );
    fleet.prober.start();
    await fleet.clock.advance(2_000);
    expect(fleet.delivered).toHaveLength(300);
    const late = fleet.delivered.map(
      ({ at, observedAt }) => at - (observedAt.getTime() - fleet.clock.now() + fleet.at()),
    );
    expect(Math.max(...late)).toBeLessThanOrEqual(100);
    expect(fleet.batches.length).toBeLessThan(8);
    expect(fleet.batches[0]).toBeLessThan(10);
  });

  test('results that could not be stored are stored later, the last one of each cluster', async () => {
    const fleet = fleetOf({ a: { state: 'UNAUTHORIZED' }, b: { state: 'READY' } });
    fleet.refuseToStore = true;
    fleet.prober.start();
    await fleet.clock.advance(1_500);
    fleet.behaviours.a = { state: 'READY' };
    await fleet.clock.advance(10_000);
    expect(fleet.errors.length).toBeGreaterThan(2);
    fleet.refuseToStore = false;
    await fleet.clock.advance(1_100);
    expect(fleet.delivered.map(({ uid, state }) => `${uid} ${state}`).toSorted()).toEqual(['a READY', 'b READY']);
  });

  test('a result that arrives while the store of an older one fails is the one that is stored', async () => {
    const fleet = fleetOf({ a: { state: 'UNAUTHORIZED', ms: 1 } });
    Object.assign(fleet, { refuseToStore: true, storeMs: 50 });
    fleet.prober.start();
    await fleet.clock.advance(20);
    fleet.behaviours.a = { state: 'READY', ms: 1 };
    void fleet.prober.probeNow('a');
    await fleet.clock.advance(60);
    fleet.refuseToStore = false;
    await fleet.clock.advance(1_500);
    expect(fleet.states('a')).toEqual(['READY']);
  });

  test('a result whose store failed is not stored after its cluster was deleted', async () => {
    const fleet = fleetOf({ gone: { state: 'READY', ms: 1 }, stays: { state: 'READY', ms: 1 } });
    fleet.storeMs = 50;
    fleet.prober.start();
    await fleet.clock.advance(20);
    fleet.remove('gone');
    void fleet.prober.refresh();
    await fleet.clock.advance(20);
    fleet.refuseToStore = true;
    await fleet.clock.advance(20);
    fleet.refuseToStore = false;
    await fleet.clock.advance(1_500);
    expect(fleet.delivered.map(({ uid }) => uid)).toEqual(['stays']);
  });

  test('stop delivers the results, ends running attempts, and does nothing when called again', async () => {
    const fleet = fleetOf({ a: { state: 'READY', ms: 1 }, b: { state: 'READY', ms: 20 }, c: 'silent' });
    fleet.prober.start();
    await fleet.clock.advance(50);
    await Promise.all([fleet.prober.stop(), fleet.prober.stop()]);
    expect(fleet.delivered.map(({ uid }) => uid)).toEqual(['a', 'b']);
    const tried = fleet.attempts.length;
    await fleet.clock.advance(120_000);
    expect(fleet.attempts).toHaveLength(tried);
    expect(await fleet.prober.probeNow('a')).toBeUndefined();
  });

  test('the last finished round is known once every cluster was probed', async () => {
    const fleet = fleetOf({ a: { state: 'READY', ms: 10 }, b: 'silent' });
    fleet.prober.start();
    await fleet.clock.advance(1_000);
    expect(fleet.prober.roundFinishedAt()).toBeUndefined();
    await fleet.clock.advance(5_000);
    expect(fleet.prober.roundFinishedAt()).toEqual(fleet.prober.last('a')?.observedAt);
  });
});

describe('tests on request', () => {
  test('a requested test runs immediately, and all concurrent callers share its result', async () => {
    const fleet = fleetOf({ a: 'silent' });
    fleet.prober.start();
    await fleet.clock.advance(6_500);
    fleet.behaviours.a = { state: 'READY' };
    const tried = fleet.attempts.length;
    const asked = Promise.all([fleet.prober.probeNow('a'), fleet.prober.probeNow('a')]);
    await fleet.clock.advance(15);
    expect(await asked).toMatchObject([{ state: 'READY' }, { state: 'READY' }]);
    expect(fleet.attempts).toHaveLength(tried + 1);
  });

  test('callers do not get the result of an attempt that began before their request', async () => {
    const fleet = fleetOf({ a: 'silent' });
    fleet.prober.start();
    await fleet.clock.advance(3_000);
    fleet.behaviours.a = { state: 'READY' };
    const asked = fleet.prober.probeNow('a');
    await fleet.clock.advance(100);
    expect(await asked).toMatchObject({ state: 'READY', uid: 'a' });
    await fleet.clock.advance(5_000);
    expect(fleet.states('a')).toEqual(['READY']);
  });

  test('a caller that waits while the credential changes gets the result of the new credential', async () => {
    const fleet = fleetOf({ a: 'silent' });
    fleet.prober.start();
    await fleet.clock.advance(10);
    const asked = fleet.prober.probeNow('a');
    await fleet.clock.advance(10);
    fleet.change('a', { state: 'READY' });
    await fleet.clock.advance(1_200);
    expect(await asked).toMatchObject({ state: 'READY', credentialsVersion: 2 });
  });

  test('a cluster that is not probed returns nothing, even if it is removed during the attempt', async () => {
    const fleet = fleetOf({ a: 'silent' });
    fleet.prober.start();
    await fleet.clock.advance(10);
    expect(await fleet.prober.probeNow('unknown')).toBeUndefined();
    const asked = fleet.prober.probeNow('a');
    await fleet.clock.advance(10);
    fleet.remove('a');
    await fleet.clock.advance(1_100);
    expect(await asked).toBeUndefined();
  });

  test('waiting for the first results of many clusters probes none of them twice', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `c${index}`);
    const fleet = fleetOf({});
    fleet.prober.start();
    await fleet.clock.advance(10);
    fleet.targets = names.map((uid) => ({ uid, credentialsVersion: 1 }));
    for (const name of names) fleet.behaviours[name] = { state: 'READY' };
    const all = fleet.prober.waitForFirstOutcomes(names);
    await fleet.clock.advance(200);
    expect((await all).every((outcome) => outcome?.version === 'v1.31.0')).toBe(true);
    expect(fleet.attempts).toHaveLength(50);
  });
});

test("an error on our side does not change a cluster's status, and the cluster is probed again", async () => {
  const [errors, stored]: [unknown[], ProbeOutcome[]] = [[], []];
  const clock = new StillClock();
  let isAway = true;
  const prober = new Prober({
    clock,
    targets: async () => TARGETS,
    probe: async ({ credentialsVersion }) => {
      if (isAway) throw new Error('the database does not answer');
      return { state: 'READY', latencyMs: 1, credentialsVersion };
    },
    store: async (outcomes) => void stored.push(...outcomes),
    onError: (error) => errors.push(error),
  });
  onTestFinished(() => prober.stop());
  prober.start();
  await clock.advance(2_500);
  expect(errors.length).toBeGreaterThan(1);
  expect(stored).toEqual([]);
  isAway = false;
  await clock.advance(2_000);
  expect(stored).toMatchObject([{ uid: 'one', state: 'READY' }]);
});

test('a lack of resources on our side changes no status, and is retried at increasing intervals', async () => {
  const [errors, stored]: [unknown[], ProbeOutcome[]] = [[], []];
  const clock = new StillClock();
  const prober = new Prober({
    clock,
    targets: async () => TARGETS,
    probe: async ({ credentialsVersion }) => {
      if (errors.length < 6) throw new ResourceError('the limit of open files is reached (EMFILE)');
      return { state: 'READY', latencyMs: 1, credentialsVersion };
    },
    store: async (outcomes) => void stored.push(...outcomes),
    onError: (error) => errors.push(error),
  });
  onTestFinished(() => prober.stop());
  prober.start();
  // 2 + 4 + 8 + 16 + 16 s lie between the first attempt and the sixth.
  await clock.advance(45_000);
  expect([errors.length, stored]).toEqual([5, []]);
  await clock.advance(20_000);
  expect(errors).toHaveLength(6);
  expect(stored).toMatchObject([{ uid: 'one', state: 'READY' }]);
});

const TARGETS = [{ uid: 'one', credentialsVersion: 1, state: 'READY' }];

test('each cluster gets its own state over real connections', async () => {
  const fine = await standIn(kubernetes());
  const responses = {
    review: [201, { kind: 'SelfSubjectReview', status: { userInfo: { username: 'u' } } }] as [number, unknown],
  };
  const changing = await standIn(kubernetes(responses));
  const targets: Record<string, Target> = {
    fine: fine.target(),
    changing: changing.target(),
    distrusted: fine.target({ caData: createAuthority().certificate }),
    absent: { server: `https://127.0.0.1:${await refusingPort()}`, insecureSkipTlsVerify: false },
  };
  const connections = new Connections({
    policy: { allowLoopback: true },
    openCredential: async (uid) => {
      const target = targets[uid];
      if (!target) throw new ClusterError('CREDENTIAL_UNUSABLE', 'no such cluster');
      return { credentialsVersion: 1, target };
    },
  });
  const list = [...Object.keys(targets), 'broken'].map((uid) => ({ uid, credentialsVersion: 1 }));
  const stored = new Map<string, ProbeOutcome>();
  const prober = new Prober({
    targets: async () => list,
    probe: createProbe(connections),
    store: async (outcomes) => {
      for (const outcome of outcomes) stored.set(outcome.uid, outcome);
    },
    onError: (error) => {
      throw error;
    },
  });
  onTestFinished(async () => {
    await prober.stop();
    await connections.close();
  });
  prober.start();
  await vi.waitUntil(() => stored.size === list.length, 5_000);
  expect(stored.get('fine')).toMatchObject({ state: 'READY', version: 'v1.31.0', credentialsVersion: 1 });
  expect(stored.get('changing')).toMatchObject({ state: 'READY' });
  expect(stored.get('distrusted')).toMatchObject({ state: 'UNREACHABLE', fault: { code: 'WRONG_CA' } });
  expect(stored.get('absent')).toMatchObject({ state: 'UNREACHABLE', fault: { code: 'REFUSED' } });
  expect(stored.get('broken')).toMatchObject({ state: 'UNUSABLE', fault: { code: 'CREDENTIAL_UNUSABLE' } });
  responses.review = [401, { kind: 'Status' }];
  expect(await prober.probeNow('changing')).toMatchObject({ state: 'UNAUTHORIZED' });
});
