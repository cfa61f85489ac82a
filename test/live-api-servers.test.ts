import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { FaultCode } from '../src/kubernetes/cluster-error.ts';
import { readKubeconfig } from '../src/kubernetes/kubeconfig/kubeconfig.ts';
import type { Target } from '../src/kubernetes/kubeconfig/target.ts';
import type { ProbeState } from '../src/kubernetes/prober/probe.ts';
import { createProbe, type ProbeOutcome } from '../src/kubernetes/prober/probe-function.ts';
import { Prober } from '../src/kubernetes/prober/prober.ts';
import { Connections } from '../src/kubernetes/transport/connections.ts';
import { type ApiServers, findApiServers, startApiServers } from './support/api-servers.ts';
import { fastClock } from './support/clock.ts';
import { reportLeftOut } from './support/left-out.ts';
import { atLoad } from './support/load.ts';

const policy = { allowLoopback: true, allowHttp: false, allowInsecureTls: false, allowProxy: false };
/** Rounds, backoff and time limits all run this many times as fast as in the design. */
const FACTOR = 5;
/** One round, its attempt, one second, the second attempt (docs/architecture.md), and a margin for a busy machine. */
const MET_WITHIN_MS = 36_000 + 5_500 + 1_000 + 5_500 + 7_000;
/** The longest backoff, plus one attempt. */
const RECOVERED_WITHIN_MS = 60_000 + 5_500;

const found = await findApiServers();
const missing = 'missing' in found ? found.missing : undefined;
if (missing) reportLeftOut(`test/live-api-servers.test.ts, all against real API servers: ${missing}`);

/** A prober over targets that a test adds and changes. */
function openFleet() {
  const clock = fastClock(FACTOR);
  const targets = new Map<string, { target: Target; credentialsVersion: number }>();
  let list: { uid: string; credentialsVersion: number }[] = [];
  const outcomes: ProbeOutcome[] = [];
  const connections = new Connections({
    policy,
    openCredential: async (uid) => {
      const credential = targets.get(uid);
      if (!credential) throw new Error('no such cluster');
      return credential;
    },
  });
  const prober = new Prober({
    clock,
    targets: async () => list,
    probe: createProbe(connections),
    store: async (batch) => {
      outcomes.push(...batch);
    },
    onError: (error) => {
      throw error;
    },
  });
  prober.start();
  return {
    clock,
    connections,
    prober,
    outcomes,
    put: async (uid: string, target: Target) => {
      targets.set(uid, { target, credentialsVersion: (targets.get(uid)?.credentialsVersion ?? 0) + 1 });
      list = Array.from(targets, ([key, { credentialsVersion }]) => ({ uid: key, credentialsVersion }));
      return (await prober.waitForFirstOutcomes([uid]))[0];
    },
    /** Waits for a state that starts after this call, and returns the time it took by the prober's clock. */
    waitForState: async (uid: string, state: ProbeState, code?: FaultCode) => {
      const begin = clock.now();
      const last = () => outcomes.findLast((outcome) => outcome.uid === uid && outcome.observedAt.getTime() > begin);
      await vi.waitUntil(() => last()?.state === state, { timeout: 25_000, interval: 20 });
      expect(last()?.fault?.code).toBe(code);
      return clock.now() - begin;
    },
    close: async () => {
      await prober.stop();
      await connections.close();
    },
  };
}

describe.skipIf(missing)('real API servers', () => {
  const [KINDS, PAUSED, STOPPED, SLOW, TOKENS, CA, CERTIFICATE, HEALTHY] = [1, 2, 3, 4, 5, 6, 7, 8];
  let servers: ApiServers;
  let fleet: ReturnType<typeof openFleet>;

  beforeAll(async () => {
    if (!('binary' in found)) return;
    servers = await startApiServers(found.binary, 8);
    fleet = openFleet();
  });
  afterAll(async () => {
    await fleet?.close();
    await servers?.close();
  });

  test.concurrent.each([
    ['a client certificate', `cluster-${KINDS}`, true],
    ['a token that may do everything', `admin-${KINDS}`, true],
    ['a token that may read', `reader-${KINDS}`, true],
    ['a token that may do nothing', `nobody-${KINDS}`, false],
  ])('a real API server is READY with %s', async (_name, user, maySee) => {
    const [cluster] = await servers.clusters();
    const outcome = await fleet.put(user, await servers.target(KINDS, user));
    expect(outcome).toMatchObject({ state: 'READY', version: cluster?.version });
    expect(outcome?.identity).toBe(maySee ? cluster?.kubeSystemUID : null);
  });

  test.concurrent('a wrong token and a missing token make a cluster UNAUTHORIZED', async () => {
    const { token: _, ...none } = await servers.target(KINDS, `admin-${KINDS}`);
    for (const [uid, target] of Object.entries({ none, wrong: { ...none, token: 'wrong' } })) {
      const outcome = await fleet.put(uid, target);
      expect(outcome).toMatchObject({ state: 'UNAUTHORIZED', fault: { code: 'UNAUTHORIZED' } });
      expect(outcome?.version).toBeUndefined();
    }
  });

  /**
   * Breaks a cluster that is READY, repairs it, and checks that both state changes happen within the times of the
   * design.
   */
  async function breakAndRepair(
    cluster: number,
    fault: string,
    mend: string,
    state: ProbeState,
    code: FaultCode,
    ms = '',
  ) {
    const uid = `broken-${cluster}`;
    expect(await fleet.put(uid, await servers.target(cluster, `cluster-${cluster}`))).toMatchObject({ state: 'READY' });
    await servers.fault(cluster, fault, ms === '' ? {} : { ms });
    expect(await fleet.waitForState(uid, state, code)).toBeLessThan(atLoad(MET_WITHIN_MS));
    await servers.fault(cluster, mend);
    expect(await fleet.waitForState(uid, 'READY')).toBeLessThan(atLoad(RECOVERED_WITHIN_MS));
    expect(fleet.prober.last(uid)?.version).toMatch(/^v1\./);
  }

  test.concurrent('a paused API server is TIMED_OUT until it is resumed', () =>
    breakAndRepair(PAUSED, 'pause', 'resume', 'UNREACHABLE', 'TIMED_OUT'));
  test.concurrent('a stopped API server is REFUSED until it is started', () =>
    breakAndRepair(STOPPED, 'stop', 'start', 'UNREACHABLE', 'REFUSED'));
  test.concurrent('an API server whose certificate expires is CERTIFICATE_EXPIRED until the certificate is renewed', () =>
    breakAndRepair(CERTIFICATE, 'expire-certificate', 'renew-certificate', 'UNREACHABLE', 'CERTIFICATE_EXPIRED'));

  test.concurrent('a slow API server stays READY, and one that is too slow is TIMED_OUT until it recovers', async () => {
    const uid = `slow-${SLOW}`;
    await servers.fault(SLOW, 'slow', { ms: '80' });
    const outcome = await fleet.put(uid, await servers.target(SLOW, `reader-${SLOW}`));
    expect(outcome).toMatchObject({ state: 'READY' });
    expect(outcome?.latencyMs).toBeGreaterThanOrEqual(80);
    await breakAndRepair(SLOW, 'slow', 'heal', 'UNREACHABLE', 'TIMED_OUT', '6000');
  });

  test.concurrent('a cluster with a revoked token is UNAUTHORIZED until it gets a new token', async () => {
    const user = `reader-${TOKENS}`;
    expect(await fleet.put(user, await servers.target(TOKENS, user))).toMatchObject({ state: 'READY' });
    await servers.fault(TOKENS, 'revoke-token', { user });
    expect(await fleet.waitForState(user, 'UNAUTHORIZED', 'UNAUTHORIZED')).toBeLessThan(atLoad(MET_WITHIN_MS));
    await servers.fault(TOKENS, 'issue-token', { user });
    const outcome = await fleet.put(user, await servers.target(TOKENS, user));
    expect(outcome).toMatchObject({ state: 'READY', credentialsVersion: 2 });
  });

  test.concurrent('a cluster with a new CA is WRONG_CA until it gets the new kubeconfig', async () => {
    const uid = `cluster-${CA}`;
    const byCertificate = () => servers.target(CA, uid);
    expect(await fleet.put(uid, await byCertificate())).toMatchObject({ state: 'READY' });
    await servers.fault(CA, 'rotate-ca');
    expect(await fleet.waitForState(uid, 'UNREACHABLE', 'WRONG_CA')).toBeLessThan(atLoad(MET_WITHIN_MS));
    expect(await fleet.put(uid, await byCertificate())).toMatchObject({ state: 'READY', credentialsVersion: 2 });
  });

  test.concurrent('reads of a healthy API server continue while others fail', async () => {
    const uid = `cluster-${HEALTHY}`;
    await fleet.put(uid, await servers.target(HEALTHY, uid));
    const { connection } = await fleet.connections.of({ uid, credentialsVersion: 1 });
    const isPausedMet = () => fleet.outcomes.some((o) => o.uid === `broken-${PAUSED}` && o.fault?.code === 'TIMED_OUT');
    const counts = new Set<number>();
    await vi.waitUntil(
      async () => {
        const { items } = await connection.read('/api/v1/pods', { timeoutMs: 4_000 });
        counts.add(Array.isArray(items) ? items.length : -1);
        return isPausedMet();
      },
      { timeout: 25_000, interval: 20 },
    );
    expect(counts).toEqual(new Set([20]));
    expect(fleet.outcomes.filter((o) => o.uid === uid && o.state !== 'READY')).toEqual([]);
  });
});

const kubeconfigPath = process.env.TEST_KUBECONFIG;

if (kubeconfigPath)
  test('each context of TEST_KUBECONFIG is READY and reports its version', async () => {
    const { contexts = [], problem } = readKubeconfig(await readFile(kubeconfigPath, 'utf8'), policy);
    expect(problem).toBeUndefined();
    const fleet = openFleet();
    try {
      for (const { name, target } of contexts) {
        if (!target) throw new Error(`the context ${name} cannot be used`);
        const outcome = await fleet.put(name, target);
        expect(outcome).toMatchObject({ state: 'READY', version: expect.stringMatching(/^v1\./) });
      }
    } finally {
      await fleet.close();
    }
  });
