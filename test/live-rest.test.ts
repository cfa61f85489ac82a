import { expect, it } from 'vitest';
import type { FaultCode } from '../src/kubernetes/cluster-error.ts';
import { CLUSTERS } from './support/app.ts';
import { createAuthority } from './support/certificates.ts';
import { kubeconfig, needingCommand } from './support/kubeconfigs.ts';
import {
  gate,
  kubeconfigOf,
  kubeconfigOfAll,
  listed,
  probingApp,
  register,
  statusOf,
  untilListed,
  untilState,
} from './support/live.ts';
import { atLoad } from './support/load.ts';
import { authority, kubernetes, rawStandIn, refusingPort, standIn, token, user } from './support/stand-in.ts';

/** Twice the times of docs/architecture.md, since the machine may be busy. */
const SOON_MS = 2 * 1_000;

it("the list shows a cluster's version right after it was created", async () => {
  const app = await probingApp();
  const server = await standIn(kubernetes({ version: [200, { gitVersion: 'v1.33.4' }] }));
  const id = await register(app, 'a', kubeconfigOf(server.target()));
  const row = await untilListed(app, id, ({ version }) => version !== undefined, SOON_MS);
  expect(row).toMatchObject({ version: 'v1.33.4' });
  expect(row).not.toHaveProperty('error');
});

it('an import answers once each of its clusters was probed', async () => {
  const app = await probingApp();
  const servers = await Promise.all(
    ['a', 'b', 'c'].map(async (name) => [name, (await standIn(kubernetes())).target()] as const),
  );
  const { status } = await app.rest('POST', `${CLUSTERS}import`, {
    config: kubeconfigOfAll(Object.fromEntries(servers)),
  });
  expect(status).toBe(201);
  const { body } = await app.rest('GET', CLUSTERS);
  expect(body).toEqual(['a', 'b', 'c'].map((name) => expect.objectContaining({ name, version: 'v1.31.0' })));
});

it('a silent cluster delays an import by one second and delays none of the other clusters', async () => {
  const app = await probingApp();
  const [server, silent] = [await standIn(kubernetes()), await rawStandIn(() => {})];
  const config = kubeconfigOfAll({ silent: silent.target(), a: server.target(), b: server.target() });
  const began = performance.now();
  expect((await app.rest('POST', `${CLUSTERS}import`, { config })).status).toBe(201);
  expect(performance.now() - began).toBeLessThan(atLoad(SOON_MS));
  const { body } = await app.rest('GET', CLUSTERS);
  expect(body.map(({ name, version, error }: Record<string, string>) => [name, version, error])).toEqual([
    ['silent', undefined, undefined],
    ['a', 'v1.31.0', undefined],
    ['b', 'v1.31.0', undefined],
  ]);
});

it('each kind of failure is a sentence in the list without secrets, and disappears once the cluster is reachable', async () => {
  const app = await probingApp();
  const now = Date.now();
  const issue = (names: string[], notAfter = new Date(now + 3_600_000)) =>
    authority.issue({ commonName: 'kube-apiserver', altNames: names, notAfter, notBefore: new Date(now - 7_200_000) });
  const healthy = kubernetes();
  const [good, plain, other, expired] = await Promise.all([
    standIn(healthy),
    standIn(healthy, { plain: true }),
    standIn(healthy, { certificate: issue(['10.9.8.7']) }),
    standIn(healthy, { certificate: issue(['127.0.0.1'], new Date(now - 3_600_000)) }),
  ]);
  const answers = (responses: Parameters<typeof kubernetes>[0]) => standIn(kubernetes(responses));
  const status = (code: number) => [code, { kind: 'Status', code }] as [number, object];
  const { token: _, ...stranger } = (await answers({ review: status(403) })).target();
  const kinds: Record<string, [config: string, state: string, code: FaultCode | 'KUBECONFIG_UNUSABLE']> = {
    refused: [
      kubeconfigOf(good.target({ server: `https://127.0.0.1:${await refusingPort()}` })),
      ...(['UNREACHABLE', 'REFUSED'] as const),
    ],
    'wrong CA': [kubeconfigOf(good.target({ caData: createAuthority().certificate })), 'UNREACHABLE', 'WRONG_CA'],
    'plain http': [kubeconfigOf(plain.target({ server: `https://127.0.0.1:${plain.port}` })), 'UNREACHABLE', 'TLS'],
    'wrong name': [kubeconfigOf(other.target()), 'UNREACHABLE', 'WRONG_NAME'],
    expired: [kubeconfigOf(expired.target()), 'UNREACHABLE', 'CERTIFICATE_EXPIRED'],
    'cut off': [
      kubeconfigOf((await rawStandIn((socket) => socket.destroy())).target()),
      'UNREACHABLE',
      'CONNECTION_LOST',
    ],
    silent: [kubeconfigOf((await rawStandIn(() => {})).target()), 'UNREACHABLE', 'TIMED_OUT'],
    'no API server': [
      kubeconfigOf((await standIn((_request, response) => response.writeHead(404).end('<html>'))).target()),
      ...(['UNREACHABLE', 'NOT_KUBERNETES'] as const),
    ],
    'not accepted': [kubeconfigOf((await answers({ review: status(401) })).target()), 'UNAUTHORIZED', 'UNAUTHORIZED'],
    stranger: [kubeconfigOf(stranger), 'UNAUTHORIZED', 'UNAUTHORIZED'],
    anonymous: [
      kubeconfigOf((await answers({ review: [201, user('system:anonymous')] })).target()),
      ...(['UNAUTHORIZED', 'UNAUTHORIZED'] as const),
    ],
    'not ready': [
      kubeconfigOf((await answers({ readyz: [500, '[-]etcd failed: x\n'] })).target()),
      'DEGRADED',
      'NOT_READY',
    ],
    command: [needingCommand.EKS, 'UNUSABLE', 'KUBECONFIG_UNUSABLE'],
  };
  const ids = await Promise.all(
    Object.entries(kinds).map(async ([name, [config]]) => [name, await register(app, name, config)] as const),
  );
  for (const [name, id] of ids) {
    const [, state, code] = kinds[name] ?? [];
    const found = await untilState(app, id, state ?? '', 2 * 6_500);
    expect([name, found.error?.code]).toEqual([name, code]);
    const { error = '' } = (await listed(app, id)) ?? {};
    expect(error).toBe(found.error?.message);
    // A sentence without technical identifiers.
    expect(error).toMatch(/^[^A-Z]*(\s\S+){4,}/);
    expect(error).not.toMatch(/\b(E[A-Z]{4,}|[A-Z]+_[A-Z_]+)\b/);
    expect(error).not.toContain(token);
  }
  for (const [name, id] of ids) {
    const { status: answered } = await app.rest('PUT', `${CLUSTERS}${id}`, {
      config: kubeconfigOf(good.target(), name),
    });
    expect(answered).toBe(200);
    const row = await untilListed(app, id, ({ version }) => version !== undefined, SOON_MS);
    expect(row).not.toHaveProperty('error');
  }
  expect(app.logged()).not.toContain(token);
});

it('a disabled cluster shows neither version nor error, and receives no calls', async () => {
  const app = await probingApp();
  const server = await standIn(kubernetes());
  const [up, down] = await Promise.all([
    register(app, 'up', kubeconfigOf(server.target())),
    register(app, 'down', kubeconfigOf(server.target({ server: `https://127.0.0.1:${await refusingPort()}` }))),
  ]);
  await untilListed(app, up, ({ version }) => version !== undefined);
  await untilListed(app, down, ({ error }) => error !== undefined);
  for (const id of [up, down]) {
    await app.rest('PUT', `${CLUSTERS}${id}`, { enabled: false });
    const row = await listed(app, id);
    expect(row).not.toHaveProperty('version');
    expect(row).not.toHaveProperty('error');
  }
  await expect.poll(() => server.sockets.size).toBe(0);
  const asked = server.requests.length;
  await app.graphql('mutation { probeCluster(input: { by: { name: "up" } }) { __typename } }');
  const tested = await app.graphql(
    'mutation { testClusterConnection(input: { cluster: { name: "up" } }) { ... on ConnectionFailedError { fault { code } } } }',
  );
  expect(tested.data.testClusterConnection).toEqual({ fault: { code: 'DISABLED' } });
  const { data } = await app.graphql('{ cluster(by: { name: "up" }) { live { version faults { path code } } } }');
  expect(data.cluster.live).toEqual({ version: null, faults: [{ path: ['version'], code: 'DISABLED' }] });
  expect(server.requests).toHaveLength(asked);
  expect(await statusOf(app, up)).toMatchObject({ state: 'DISABLED', version: null, observedAt: null, error: null });
});

it('a cluster that is disabled and enabled in quick succession is probed again', async () => {
  const app = await probingApp();
  const server = await standIn(kubernetes());
  const id = await register(app, 'a', kubeconfigOf(server.target()));
  await untilState(app, id, 'READY');
  for (const enabled of [false, true, false, true]) await app.rest('PUT', `${CLUSTERS}${id}`, { enabled });
  await untilState(app, id, 'READY', SOON_MS);
});

it('a new kubeconfig clears the version until the cluster was probed', async () => {
  const app = await probingApp();
  const first = await standIn(kubernetes());
  const { handler, open } = gate(kubernetes({ version: [200, { gitVersion: 'v1.34.0' }] }));
  const second = await standIn(handler);
  const id = await register(app, 'a', kubeconfigOf(first.target()));
  await untilListed(app, id, ({ version }) => version === 'v1.31.0');
  await app.rest('PUT', `${CLUSTERS}${id}`, { config: kubeconfigOf(second.target()) });
  expect(await listed(app, id)).not.toHaveProperty('version');
  await expect.poll(() => second.requests.length).toBeGreaterThan(0);
  expect(await listed(app, id)).not.toHaveProperty('version');
  open();
  await untilListed(app, id, ({ version }) => version === 'v1.34.0', SOON_MS);
  await expect.poll(() => first.sockets.size).toBe(0);
});

it('an unusable kubeconfig is stored, and the list shows the reason immediately', async () => {
  const app = await probingApp();
  const id = await register(app, 'a', kubeconfig({ user: { tokenFile: '/etc/passwd' } }));
  const row = await listed(app, id);
  expect(row).not.toHaveProperty('version');
  expect(row?.error).toMatch(/tokenFile/);
});
