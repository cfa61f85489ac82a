import { describe, expect, test, vi } from 'vitest';
import type { Target } from '../src/kubernetes/kubeconfig/target.ts';
import { type ProbeOptions, type ProbeResult, probe } from '../src/kubernetes/prober/probe.ts';
import { Connection } from '../src/kubernetes/transport/connection.ts';
import { createAuthority } from './support/certificates.ts';
import { onTestFinished } from './support/running-test.ts';
import {
  answerWith,
  authority,
  forbidden,
  kubernetes,
  rawStandIn,
  refusingPort,
  type StandInResponses,
  standIn,
  user,
} from './support/stand-in.ts';

const unhealthy = '[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/start-x failed: reason withheld\n';
const absent: [number, unknown] = [404, { kind: 'Status', code: 404 }];

function probeTarget(target: Target, options: ProbeOptions = { details: true }): Promise<ProbeResult> {
  const connection = new Connection({ target, policy: { allowLoopback: true } });
  onTestFinished(() => connection.close());
  return probe(connection, options);
}

async function probed(responses: StandInResponses) {
  const { target, requests } = await standIn(kubernetes(responses));
  return { ...(await probeTarget(target())), requests };
}

describe('the table of states', () => {
  test('a cluster that is ready and authenticated is READY, with version and identity', async () => {
    const result = await probed({});
    expect(result).toMatchObject({
      state: 'READY',
      version: 'v1.31.0',
      identity: '7d4c8f7e-0000-4000-8000-000000000001',
      latencyMs: expect.any(Number),
    });
    expect(result).not.toHaveProperty('fault');
    expect(result.latencyMs).toBeGreaterThan(0);
  });

  test.each<[string, StandInResponses]>([
    ['/healthz in place of /readyz', { readyz: [404, 'no'] }],
    ['an access review where there is no subject review', { review: absent }],
    ['a token that may not read readiness', { readyz: [403, 'no'] }],
    ['a token that may not even create a SelfSubjectReview', { review: [403, forbidden('reader')] }],
    ['a token that may read nothing else', { kubeSystem: [403, forbidden('reader')] }],
    ['a version that is not reported', { version: [500, 'no'] }],
    ['no readiness endpoint', { readyz: [404, ''], healthz: [404, ''] }],
    ['a gateway that answers 401 for readiness', { readyz: [401, ''] }],
    ['a gateway that redirects readiness', { readyz: [302, ''] }],
    ['a gateway that allows only GET', { review: [405, ''], namespaces: [200, { kind: 'NamespaceList', items: [] }] }],
    [
      'a gateway that allows only GET, and a narrow token',
      { review: [405, ''], namespaces: [403, forbidden('reader')] },
    ],
  ])('a cluster is READY: %s', async (_name, responses) => {
    const result = await probed(responses);
    expect(result).toMatchObject({ state: 'READY' });
    expect(result).not.toHaveProperty('fault');
  });

  test.each<[string, StandInResponses]>([
    ['/readyz', { readyz: [500, unhealthy] }],
    ['/healthz', { readyz: [404, ''], healthz: [503, unhealthy] }],
  ])('an authenticated cluster is DEGRADED when %s names failing checks', async (_name, responses) => {
    const result = await probed(responses);
    expect(result).toMatchObject({
      state: 'DEGRADED',
      version: 'v1.31.0',
      fault: { code: 'NOT_READY', message: expect.stringMatching(/: etcd, poststarthook\/start-x$/) },
    });
  });

  test.each<[string, StandInResponses]>([
    ['401 everywhere', { readyz: [401, ''], review: [401, ''] }],
    ['401 behind a gateway that allows only GET', { review: [405, ''], namespaces: [401, ''] }],
    ['treated as anonymous behind a gateway', { review: [501, ''], namespaces: [403, forbidden('system:anonymous')] }],
    ['401 for the review', { review: [401, { kind: 'Status' }] }],
    ['401 for the older review', { review: absent, accessReview: [401, { kind: 'Status' }] }],
    ['ready or not', { readyz: [500, unhealthy], review: [401, { kind: 'Status' }] }],
    ['treated as anonymous', { review: [201, user('system:anonymous')] }],
    ['a credential that did not arrive', { review: [403, forbidden('system:anonymous')] }],
  ])('a cluster is UNAUTHORIZED: %s', async (_name, responses) => {
    const result = await probed(responses);
    expect(result).toMatchObject({ state: 'UNAUTHORIZED', fault: { code: 'UNAUTHORIZED' } });
    expect(result.requests).not.toContain('GET /version');
  });

  test('a cluster that needs a credential and has none is UNAUTHORIZED', async () => {
    const stranger = await standIn(kubernetes({ review: [403, forbidden('system:anonymous')] }));
    const { token: _, ...target } = stranger.target();
    expect(await probeTarget(target)).toMatchObject({ state: 'UNAUTHORIZED', fault: { code: 'UNAUTHORIZED' } });
  });

  test.each<[string, StandInResponses]>([
    ['SERVER_ERROR', { readyz: [503, 'no backend'], review: [503, 'no backend'] }],
    ['NOT_KUBERNETES', { review: [405, ''], namespaces: [200, '<html>'] }],
    ['NOT_KUBERNETES', { review: absent, accessReview: absent }],
    ['NOT_KUBERNETES', { readyz: [403, '<html>'], review: [403, '<html>'] }],
    ['NOT_KUBERNETES', { review: [200, '<html>welcome</html>'] }],
    ['NOT_KUBERNETES', { review: [200, { kind: 'Other' }] }],
  ])('a cluster is UNREACHABLE: %s for %j', async (code, responses) => {
    expect(await probed(responses)).toMatchObject({ state: 'UNREACHABLE', fault: { code } });
  });

  test('a cluster without a connection, or with an untrusted one, is UNREACHABLE', async () => {
    const nowhere = { server: `https://127.0.0.1:${await refusingPort()}`, insecureSkipTlsVerify: false };
    expect(await probeTarget(nowhere)).toMatchObject({ state: 'UNREACHABLE', fault: { code: 'REFUSED' } });
    const { target } = await standIn(kubernetes());
    const distrustful = target({ caData: createAuthority().certificate });
    expect(await probeTarget(distrustful)).toMatchObject({ state: 'UNREACHABLE', fault: { code: 'WRONG_CA' } });
  });
});

test('an API server that is too busy to authenticate is DEGRADED', async () => {
  for (const busy of [
    { review: [429, 'later'] },
    { review: [405, ''], namespaces: [429, 'later'] },
  ] as StandInResponses[])
    expect(await probed(busy)).toMatchObject({
      state: 'DEGRADED',
      version: 'v1.31.0',
      fault: { code: 'SERVER_ERROR', message: expect.stringContaining('is overloaded') },
    });
});

test.each<[string, StandInResponses]>([
  ['refuses it', { review: [401, { kind: 'Status' }] }],
  ['treats it as anonymous', { review: [403, forbidden('system:anonymous')] }],
])('an expired credential is named when the API server %s', async (_, responses) => {
  const { target } = await standIn(kubernetes(responses));
  const payload = Buffer.from('{"exp":1700000000}').toString('base64url');
  const { fault } = await probeTarget(target({ token: `e30.${payload}.c2ln` }));
  expect(fault?.message).toMatch(/does not accept the credential: the token expired on 2023-11-14$/);
  const past = { notBefore: new Date('2020-01-01'), notAfter: new Date('2021-02-03') };
  const clientCertificate = authority.issue({ commonName: 'x', client: true, ...past });
  const old = await probeTarget(target({ clientCertificate }));
  expect(old.fault?.message).toMatch(/the client certificate expired on 2021-02-03$/);
});

test('one time budget covers a whole attempt, however many of its calls are slow', async () => {
  const budgetMs = 200;
  const { target, requests } = await standIn(async (request, response) => {
    const came = performance.now();
    // No call takes the whole budget, and two calls together exceed it.
    await expect.poll(() => performance.now() - came, { interval: 5 }).toBeGreaterThan(budgetMs / 2);
    kubernetes()(request, response);
  });
  const connection = new Connection({ target: target(), policy: { allowLoopback: true } });
  onTestFinished(() => connection.close());
  connection.hasNewSocket = false;
  const result = await probe(connection, { details: false, budgetMs });
  // The credential was accepted in time. There was no time left to learn whether the API server is ready.
  expect(result).toMatchObject({ state: 'READY' });
  expect(requests.filter((request) => !request.includes('/version') && !request.includes('kube-system'))).toHaveLength(
    2,
  );
});

test('version and identity have a time budget of their own', async () => {
  const budgetMs = 200;
  const { target } = await standIn(async (request, response) => {
    const came = performance.now();
    await expect.poll(() => performance.now() - came, { interval: 5 }).toBeGreaterThan(0.4 * budgetMs);
    kubernetes()(request, response);
  });
  expect(await probeTarget(target(), { details: true, budgetMs })).toMatchObject({
    state: 'READY',
    version: 'v1.31.0',
    identity: '7d4c8f7e-0000-4000-8000-000000000001',
  });
});

test('version and identity are read again after a socket was opened, because another cluster may listen there', async () => {
  const { target, requests, cut, sockets } = await standIn(kubernetes());
  const connection = new Connection({ target: target(), policy: { allowLoopback: true } });
  onTestFinished(() => connection.close());
  await probe(connection, { details: true });
  await probe(connection, { details: false });
  const count = () => requests.filter((request) => request.includes('kube-system')).length;
  expect(count()).toBe(1);
  cut();
  await vi.waitUntil(() => sockets.size === 0);
  await vi.waitUntil(async () => (await probe(connection, { details: false })).state === 'READY');
  expect(count()).toBe(2);
});

test('a silent server uses up the time budget and no more', async () => {
  const { target } = await rawStandIn(() => {});
  const result = await probeTarget(target(), { details: false, budgetMs: 150 });
  expect(result).toMatchObject({ state: 'UNREACHABLE', fault: { code: 'TIMED_OUT' } });
  expect(result.latencyMs).toBeGreaterThanOrEqual(149);
  expect(result.latencyMs).toBeLessThan(1_500);
});

test('an attempt uses one connection, and reads details only when requested', async () => {
  const { target, requests, accepted } = await standIn(kubernetes());
  const connection = new Connection({ target: target(), policy: { allowLoopback: true } });
  onTestFinished(() => connection.close());
  const first = await probe(connection, { details: true });
  const second = await probe(connection, { details: false });
  expect(second).toEqual({ state: 'READY', latencyMs: expect.any(Number) });
  expect(first.version).toBe('v1.31.0');
  expect(requests).toHaveLength(6);
  expect(accepted()).toBe(1);
});

test('the text of a hostile server is not repeated', async () => {
  const checks = Array.from({ length: 500 }, (_, index) => `[-]check-${index} failed`).join('\n');
  const long = await probed({
    readyz: [500, `[-]<script> failed\n${checks}\n`],
    version: [200, { gitVersion: 'v1\r\nx' }],
  });
  expect(long.fault?.message.match(/check-\d+/g)).toHaveLength(32);
  expect(long.fault?.message).not.toContain('<');
  expect(long.version).toBe('v1\\u{d}\\u{a}x');
  const padded = await probed({ version: [200, { gitVersion: `v1 é ${'x'.repeat(10_000)}` }] });
  expect(padded.version).toMatch(/^v1 \\u\{e9\} x+…$/);
  expect(padded.version).toHaveLength(64);
  const { target } = await standIn((_request, response) => answerWith(response, 500, 'x'.repeat(1_000_000)));
  expect(await probeTarget(target())).toMatchObject({ state: 'UNREACHABLE', fault: { code: 'RESPONSE_TOO_LARGE' } });
});
