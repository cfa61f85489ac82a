import { describe, expect, it, vi } from 'vitest';
import { ResourceError } from '../src/kubernetes/cluster-error.ts';
import type { Target } from '../src/kubernetes/kubeconfig/target.ts';
import { testTarget } from '../src/kubernetes/prober/connection-test.ts';
import { SocketBudget } from '../src/kubernetes/transport/socket-budget.ts';
import { CLUSTERS, type TestApp } from './support/app.ts';
import { createAuthority } from './support/certificates.ts';
import { base64, kubeconfig } from './support/kubeconfigs.ts';
import { kubeconfigOf, kubeconfigOfAll, probingApp, register, untilState } from './support/live.ts';
import {
  answerWith,
  kubernetes,
  rawStandIn,
  refusingPort,
  type StandInResponses,
  standIn,
  token,
} from './support/stand-in.ts';

const TEST = `mutation ($input: TestConnectionInput!) { testClusterConnection(input: $input) {
  __typename ... on Error { code message } ... on InvalidInputError { issues { path } }
  ... on ConnectionFailedError { fault { code message } }
  ... on TestConnectionSuccess { state version latencyMs identity permissions { verbs apiGroups resources } } } }`;

const test = async (app: TestApp, input: object) => (await app.graphql(TEST, { input })).data.testClusterConnection;
const testText = (app: TestApp, text: string) => test(app, { credential: { kubeconfig: { text } } });

const create = async (app: TestApp, name: string, text: string, more: object = { verify: 'CONNECT' }) =>
  (
    await app.graphql(
      `mutation ($input: CreateClusterInput!) { createCluster(input: $input) {
        __typename ... on Error { code message } ... on ConnectionFailedError { fault { code } }
        ... on CreateClusterSuccess { warnings { __typename message } cluster { databaseId } } } }`,
      { input: { name, credential: { kubeconfig: { text } }, ...more } },
    )
  ).data.createCluster;

const importAll = async (app: TestApp, text: string, more: object = {}) =>
  (
    await app.graphql(
      `mutation ($input: ImportClustersInput!) { importClusters(input: $input) { ... on Error { code }
        ... on ImportClustersSuccess { createdCount warnings { __typename message } contexts { context outcome problem } } } }`,
      { input: { kubeconfig: text, ...more } },
    )
  ).data.importClusters;

const REVIEW = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews';

/** A stand-in API server that reports these permissions for the credential. */
async function cluster(responses: StandInResponses = {}, rules?: unknown) {
  const answer = kubernetes(responses);
  return standIn((request, response) => {
    if (rules === undefined || request.url !== REVIEW) return answer(request, response);
    answerWith(response, 201, { status: { resourceRules: rules } });
  });
}

describe('testClusterConnection', () => {
  it('testClusterConnection returns state, version, latency, identity and permissions, and stores nothing', async () => {
    const app = await probingApp();
    const rule = { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] };
    const server = await cluster({}, [rule, { verbs: ['*'], apiGroups: null, resourceNames: ['x'] }]);
    const before = await app.domain.database.counters();
    expect(await testText(app, kubeconfigOf(server.target()))).toEqual({
      ...{ __typename: 'TestConnectionSuccess', state: 'READY', version: 'v1.31.0', latencyMs: expect.any(Number) },
      identity: '7d4c8f7e-0000-4000-8000-000000000001',
      permissions: [rule, { verbs: ['*'], apiGroups: [], resources: [] }],
    });
    expect(await app.domain.database.counters()).toEqual(before);
    expect(await app.domain.database.prisma.cluster.count()).toBe(0);
    await expect.poll(() => server.sockets.size).toBe(0);
  });

  it.each([
    ['does not report its permissions', undefined],
    ['reports invalid permissions', { x: 1 }],
  ])('testClusterConnection returns null permissions if the cluster %s', async (_what, rules) => {
    const app = await probingApp();
    const server = await cluster({ kubeSystem: [403, {}], readyz: [500, '[-]etcd failed\n'] }, rules);
    const answer = await testText(app, kubeconfigOf(server.target()));
    expect(answer).toMatchObject({ state: 'DEGRADED', version: 'v1.31.0', identity: null, permissions: null });
  });

  it('testClusterConnection reports a fault by code and a sentence without secrets', async () => {
    const app = await probingApp();
    const server = await cluster({ review: [401, {}] });
    const other = createAuthority();
    const pair = { certificate: other.issue({ commonName: 'a', client: true }).certificate };
    const mixed = { ...pair, key: other.issue({ commonName: 'b', client: true }).key };
    const cases: [string, Target][] = [
      ['REFUSED', server.target({ server: `https://127.0.0.1:${await refusingPort()}` })],
      ['WRONG_CA', server.target({ caData: other.certificate })],
      ['UNAUTHORIZED', server.target()],
      ['CONNECTION_LOST', (await rawStandIn((socket) => socket.destroy())).target()],
    ];
    for (const [code, target] of cases) {
      const answer = await testText(app, kubeconfigOf(target));
      expect(answer).toMatchObject({ __typename: 'ConnectionFailedError', code: 'CONNECTION_FAILED', fault: { code } });
      expect(answer.fault.message).toBe(answer.message);
      expect(JSON.stringify(answer)).not.toContain(token);
    }
    // A key that belongs to another certificate is detected either by validation or by the connection.
    const { __typename } = await testText(app, kubeconfigOf(server.target({ clientCertificate: mixed })));
    expect(['ConnectionFailedError', 'InvalidInputError']).toContain(__typename);
    expect(app.logged()).not.toContain(token);
  });

  it('testClusterConnection rejects an unusable credential before it sends a request', async () => {
    const app = await probingApp();
    const path = ['credential', 'kubeconfig', 'text'];
    expect(await testText(app, kubeconfig({ user: { exec: {} } }))).toMatchObject({ issues: [{ path }] });
    expect(await test(app, { credential: { inCluster: false } })).toMatchObject({ issues: [{ path: ['credential'] }] });
    expect(await test(app, { credential: { inCluster: true } })).toMatchObject({ fault: { code: 'NOT_IN_CLUSTER' } });
    expect(await test(app, { cluster: { name: 'nowhere' } })).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('testClusterConnection tests a registered cluster with its stored credential', async () => {
    const app = await probingApp();
    const server = await cluster();
    await register(app, 'a', kubeconfigOf(server.target()));
    await register(app, 'unusable', kubeconfig({ user: { tokenFile: '/x' } }));
    expect(await test(app, { cluster: { name: 'a' } })).toMatchObject({ state: 'READY', version: 'v1.31.0' });
    expect(await test(app, { cluster: { name: 'unusable' } })).toMatchObject({
      fault: { code: 'CREDENTIAL_UNUSABLE' },
    });
  });
});

it('testTarget reports faults of a cluster or of this machine, and throws our own errors', async () => {
  const policy = { allowLoopback: true };
  const server = await cluster();
  const brokenKey = server.target({ clientCertificate: { certificate: 'no PEM', key: 'no PEM' } });
  expect(await testTarget({ target: brokenKey, policy })).toMatchObject({ fault: { code: 'CREDENTIAL_UNUSABLE' } });
  const sockets = new SocketBudget(1);
  vi.spyOn(sockets, 'take').mockImplementation(() => {
    throw new ResourceError('no descriptor is left');
  });
  expect(await testTarget({ target: server.target(), policy, sockets })).toMatchObject({
    fault: { code: 'OUT_OF_RESOURCES' },
  });
  await expect(testTarget({ target: server.target({ server: 'no URL' }), policy })).rejects.toThrow(TypeError);
});

describe('verify: CONNECT', () => {
  it('createCluster with verify: CONNECT rejects an unreachable cluster and stores nothing', async () => {
    const app = await probingApp();
    const server = await cluster({ review: [401, {}] });
    expect(await create(app, 'a', kubeconfigOf(server.target()))).toMatchObject({ fault: { code: 'UNAUTHORIZED' } });
    expect(await app.domain.database.prisma.cluster.count()).toBe(0);
    expect(await app.domain.database.prisma.auditRecord.count({ where: { action: 'cluster.create' } })).toBe(0);
    expect(await create(app, 'a', kubeconfigOf((await cluster()).target()))).toMatchObject({ warnings: [] });
  });

  it('updateCluster with verify: CONNECT rejects a bad credential and leaves the cluster unchanged', async () => {
    const app = await probingApp();
    const id = await register(app, 'a', kubeconfigOf((await cluster()).target()));
    await untilState(app, id, 'READY');
    const { prisma } = app.domain.database;
    const before = await prisma.cluster.findUniqueOrThrow({ where: { id } });
    const text = kubeconfigOf((await cluster({ review: [401, {}] })).target());
    const update = async (credential: object) =>
      (
        await app.graphql(
          `mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) {
            __typename ... on ConnectionFailedError { fault { code } } } }`,
          { input: { by: { databaseId: id }, description: 'new', verify: 'CONNECT', credential } },
        )
      ).data.updateCluster;
    expect(await update({ kubeconfig: { text } })).toMatchObject({ fault: { code: 'UNAUTHORIZED' } });
    expect(await update({ inCluster: true })).toMatchObject({ fault: { code: 'NOT_IN_CLUSTER' } });
    expect(await prisma.cluster.findUniqueOrThrow({ where: { id } })).toEqual(before);
    expect(await update({ inCluster: false })).toEqual({ __typename: 'UpdateClusterSuccess' });
  });

  it('switching from the service account back to the stored kubeconfig tests that kubeconfig', async () => {
    const app = await probingApp();
    const id = await register(app, 'a', kubeconfigOf((await cluster({ review: [401, {}] })).target()));
    await app.rest('PUT', `${CLUSTERS}${id}`, { inCluster: true });
    const input = { by: { databaseId: id }, verify: 'CONNECT', credential: { inCluster: false } };
    const { data } = await app.graphql(
      'mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) { ... on ConnectionFailedError { fault { code } } } }',
      { input },
    );
    expect(data.updateCluster).toEqual({ fault: { code: 'UNAUTHORIZED' } });
  });

  it('importClusters with verify: CONNECT imports the contexts that respond and reports why others fail, also in a dry run', async () => {
    const app = await probingApp();
    const text = kubeconfigOfAll({
      good: (await cluster()).target(),
      refused: (await cluster()).target({ server: `https://127.0.0.1:${await refusingPort()}` }),
      stranger: (await cluster({ review: [401, {}] })).target(),
    });
    const contexts = [
      { context: 'good', outcome: 'CREATED', problem: null },
      { context: 'refused', outcome: 'REFUSED', problem: expect.stringMatching(/refuses the connection/) },
      { context: 'stranger', outcome: 'REFUSED', problem: expect.stringMatching(/does not accept the credential/) },
    ];
    expect(await importAll(app, text, { verify: 'CONNECT', dryRun: true })).toMatchObject({
      createdCount: 1,
      contexts,
    });
    expect(await app.domain.database.prisma.cluster.count()).toBe(0);
    expect(await importAll(app, text, { verify: 'CONNECT' })).toMatchObject({ createdCount: 1, contexts });
    expect(await app.domain.database.prisma.cluster.count()).toBe(1);
  });

  it('importClusters tests a responsive context before 40 silent ones time out', async () => {
    let givenUp = 0;
    let givenUpThen: number | undefined;
    const { target } = await rawStandIn((socket) => void socket.once('close', () => givenUp++));
    const living = await standIn((request, response) => {
      givenUpThen ??= givenUp;
      kubernetes()(request, response);
    });
    const names = Array.from({ length: 40 }, (_, index) => `silent-${index}`);
    const text = kubeconfigOfAll({
      ...Object.fromEntries(names.map((name) => [name, target()])),
      living: living.target(),
    });
    const { createdCount, contexts } = await importAll(await probingApp(), text, { verify: 'CONNECT' });
    expect([createdCount, givenUpThen]).toEqual([1, 0]);
    expect(contexts.at(-1)).toEqual({ context: 'living', outcome: 'CREATED', problem: null });
  });
});

it('probeCluster probes the cluster immediately and returns the result', async () => {
  const app = await probingApp();
  const responses: StandInResponses = {};
  const id = await register(app, 'a', kubeconfigOf((await cluster(responses)).target()));
  await untilState(app, id, 'READY');
  const probe = async (by: object) =>
    (
      await app.graphql(
        `mutation ($input: ProbeClusterInput!) { probeCluster(input: $input) { ... on Error { code }
          ... on ProbeClusterSuccess { cluster { status { state version error { code } } } } } }`,
        { input: { by } },
      )
    ).data.probeCluster;
  responses.review = [401, {}];
  expect((await probe({ name: 'a' })).cluster.status).toMatchObject({
    state: 'UNAUTHORIZED',
    error: { code: 'UNAUTHORIZED' },
  });
  delete responses.review;
  expect((await probe({ name: 'a' })).cluster.status).toEqual({ state: 'READY', version: 'v1.31.0', error: null });
  expect(await probe({ name: 'b' })).toEqual({ code: 'NOT_FOUND' });
  await register(app, 'unusable', kubeconfig({ user: { tokenFile: '/x' } }));
  expect((await probe({ name: 'unusable' })).cluster.status).toMatchObject({ state: 'UNUSABLE' });
});

describe('a duplicate of a registered cluster', () => {
  const DUPLICATE = { __typename: 'DuplicateClusterWarning', message: expect.stringMatching(/"first"/) };

  it('createCluster warns of a duplicate, however its address is spelled', async () => {
    const app = await probingApp();
    await register(app, 'first', kubeconfig({ cluster: { server: 'https://api.test.invalid' } }));
    await register(app, 'unrelated', kubeconfig({ cluster: { server: 'https://other.test.invalid' } }));
    for (const server of ['https://api.test.invalid/', 'https://API.test.invalid:443', 'https://api.test.invalid'])
      expect(await create(app, server, kubeconfig({ cluster: { server } }), {})).toMatchObject({
        warnings: expect.arrayContaining([DUPLICATE]),
      });
    const elsewhere = kubeconfig({ cluster: { server: 'https://api.test.invalid:8443' } });
    expect(await create(app, 'elsewhere', elsewhere, {})).toMatchObject({ warnings: [] });
  });

  it('a duplicate warning names up to fifty clusters and mentions the others in one sentence', async () => {
    const app = await probingApp();
    const text = kubeconfig({ cluster: { server: 'https://api.test.invalid' } });
    for (let index = 1; index <= 51; index++) await register(app, `cluster-${index}`, text);
    const { warnings } = await create(app, 'one more', text, {});
    expect(warnings.map(({ message }: { message: string }) => message)).toEqual([
      ...Array.from({ length: 50 }, (_, index) => expect.stringContaining(`"cluster-${index + 1}"`)),
      'more clusters that are registered have the same API server, or are the same cluster',
    ]);
  });

  it('a duplicate warning lists the same cluster before clusters with the same address', async () => {
    const app = await probingApp();
    const server = await cluster();
    for (let index = 1; index <= 51; index++)
      await register(app, `alike-${index}`, kubeconfigOf(server.target()), { enabled: false });
    const id = await register(app, 'same', kubeconfigOf(server.target()));
    await untilState(app, id, 'READY');
    const { warnings } = await create(app, 'again', kubeconfigOf(server.target()));
    expect(warnings).toHaveLength(51);
    expect(warnings[0].message).toBe('the cluster "same", which is registered, is the same cluster');
  });

  it('createCluster and importClusters warn of a duplicate by its identity once it has been probed', async () => {
    const app = await probingApp();
    const [one, two] = [await cluster(), await cluster()];
    const id = await register(app, 'first', kubeconfigOf(one.target()));
    await untilState(app, id, 'READY');
    const text = kubeconfigOf(two.target(), 'imported');
    expect(await create(app, 'second', text)).toMatchObject({ warnings: [DUPLICATE] });
    const { warnings } = await importAll(app, text, { verify: 'CONNECT' });
    expect(warnings).toContainEqual(DUPLICATE);
  });

  it('importClusters warns of a duplicate by its address, and not of the imported cluster itself', async () => {
    const app = await probingApp();
    const server = await cluster();
    expect((await importAll(app, kubeconfigOf(server.target(), 'first'))).warnings).toEqual([]);
    expect((await importAll(app, kubeconfigOf(server.target(), 'second'), { dryRun: true })).warnings).toEqual([
      DUPLICATE,
    ]);
    expect((await importAll(app, kubeconfigOf(server.target(), 'second'))).warnings).toEqual([DUPLICATE]);
    expect((await importAll(app, kubeconfigOf(server.target(), 'second'))).warnings).toEqual([]);
  });
});

describe('Prometheus discovery', () => {
  const service = (name: string, labels: object, ports: object[] = [{ name: 'web', port: 9090 }]) => ({
    metadata: { name, namespace: 'monitoring', labels },
    spec: { ports },
  });

  /** A stand-in API server with these Services that supports the label selectors that discovery uses. */
  function withServices(services: ReturnType<typeof service>[], status = 200) {
    const answer = kubernetes();
    return standIn((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
      if (pathname !== '/api/v1/services') return answer(request, response);
      const [, key = '', value] =
        /^([\w./]+)(?:=| in \()([^)]+)\)?$/.exec(searchParams.get('labelSelector') ?? '') ?? [];
      const items = services.filter(({ metadata: { labels } }) =>
        value?.split(',').includes((labels as Record<string, string>)[key] ?? ''),
      );
      answerWith(response, status, { items });
    });
  }

  const prometheusOf = async (app: TestApp, name = 'a') =>
    (
      await app.graphql('query ($by: ClusterBy!) { cluster(by: $by) { prometheusURL discoveredPrometheusURL } }', {
        by: { name },
      })
    ).data.cluster;

  it.each([
    [
      'kube-prometheus-stack',
      service('stack-prometheus', { app: 'kube-prometheus-stack-prometheus' }, [
        { name: 'reloader-web', port: 8080 },
        { name: 'http-web', port: 9090 },
      ]),
      'http://stack-prometheus.monitoring.svc:9090',
    ],
    [
      'the Prometheus chart',
      service('prometheus-server', { 'app.kubernetes.io/name': 'prometheus' }, [{ name: 'http', port: 80 }]),
      'http://prometheus-server.monitoring.svc:80',
    ],
    [
      'VictoriaMetrics',
      service('vm', { 'app.kubernetes.io/name': 'victoria-metrics-single' }, [{ name: 'http', port: 8428 }]),
      'http://vm.monitoring.svc:8428',
    ],
    [
      'a cluster of VictoriaMetrics',
      service('vmselect', { app: 'vmselect' }, [{ name: 'http', port: 8481 }]),
      'http://vmselect.monitoring.svc:8481/select/0/prometheus',
    ],
    [
      'TLS',
      service('p', { 'app.kubernetes.io/name': 'prometheus' }, [{ name: 'https', port: 443 }]),
      'https://p.monitoring.svc:443',
    ],
  ])('discovers Prometheus by the labels of %s', async (_chart, found, url) => {
    const app = await probingApp();
    const server = await withServices([service('other', { app: 'other' }), found]);
    await register(app, 'a', kubeconfigOf(server.target()));
    await expect.poll(() => prometheusOf(app)).toEqual({ prometheusURL: null, discoveredPrometheusURL: url });
  });

  it('a Prometheus URL set by a user wins over discovery and is never overwritten', async () => {
    const app = await probingApp();
    const server = await withServices([service('p', { 'app.kubernetes.io/name': 'prometheus' })]);
    const prometheusURL = 'http://mine.test:9090';
    const id = await register(app, 'a', kubeconfigOf(server.target()), { prometheusURL });
    await untilState(app, id, 'READY');
    await expect.poll(() => server.requests.some((line) => line.includes('/services'))).toBe(true);
    expect(await prometheusOf(app)).toEqual({ prometheusURL, discoveredPrometheusURL: null });
    await app.rest('PUT', `${CLUSTERS}${id}`, { prometheusURL: '' });
    await expect
      .poll(() => prometheusOf(app))
      .toEqual({ prometheusURL: null, discoveredPrometheusURL: 'http://p.monitoring.svc:9090' });
    const { body } = await app.rest('GET', CLUSTERS);
    expect(body).toMatchObject([{ prometheusURL: '' }]);
  });

  it('a discovered Prometheus URL is dropped when the kubeconfig points to another cluster', async () => {
    const app = await probingApp();
    const server = await withServices([service('p', { 'app.kubernetes.io/name': 'prometheus' })]);
    const id = await register(app, 'a', kubeconfigOf(server.target()));
    await expect
      .poll(() => prometheusOf(app))
      .toMatchObject({ discoveredPrometheusURL: 'http://p.monitoring.svc:9090' });
    const narrow = await withServices([], 403);
    await app.rest('PUT', `${CLUSTERS}${id}`, { config: kubeconfigOf(narrow.target()) });
    await untilState(app, id, 'READY');
    expect(await prometheusOf(app)).toEqual({ prometheusURL: null, discoveredPrometheusURL: null });
  });

  it.each([
    ['an invalid name', service('../x', { 'app.kubernetes.io/name': 'prometheus' })],
    [
      'an invalid port',
      service('p', { 'app.kubernetes.io/name': 'prometheus' }, [{ name: 'web', port: '9090/@x' } as object]),
    ],
    ['no port', service('p', { 'app.kubernetes.io/name': 'prometheus' }, [])],
  ])('does not discover a Prometheus Service that has %s', async (_what, found) => {
    const app = await probingApp();
    const server = await withServices([found]);
    await register(app, 'a', kubeconfigOf(server.target()));
    await expect
      .poll(() => server.requests.filter((line) => line.includes('/services')).length)
      .toBeGreaterThanOrEqual(7);
    expect(await prometheusOf(app)).toEqual({ prometheusURL: null, discoveredPrometheusURL: null });
  });
});

describe('a credential that expires', () => {
  const day = 24 * 60 * 60 * 1_000;
  const authority = createAuthority();
  const jwt = (days: number) =>
    [
      'e30',
      Buffer.from(JSON.stringify({ exp: Math.round((Date.now() + days * day) / 1_000) })).toString('base64url'),
      'x',
    ].join('.');
  const certificateFor = (days: number) => {
    const notAfter = new Date(Date.now() + days * day);
    const { certificate, key } = authority.issue({ commonName: 'a', client: true, notAfter });
    return { 'client-certificate-data': base64(certificate), 'client-key-data': base64(key) };
  };

  it('a credential that expires within 14 days is marked and filterable, and responses with it are never cached', async () => {
    const app = await probingApp();
    const users: Record<string, object> = {
      'token 3': { token: jwt(3) },
      'token 30': { token: jwt(30) },
      'token -1': { token: jwt(-1) },
      'certificate 13': certificateFor(13),
      'certificate 15': certificateFor(15),
      forever: { token: 'sha256~x' },
    };
    for (const [name, user] of Object.entries(users))
      await register(app, name, kubeconfig({ user }), { enabled: false });
    // The CA of a stand-in expires within a day.
    const cluster = { server: 'https://10.0.0.1', 'certificate-authority-data': base64(authority.certificate) };
    await register(app, 'CA', kubeconfig({ cluster, user: { token: jwt(300) } }), { enabled: false });

    const { data } = await app.graphql(
      '{ clusters { nodes { name credential { expiresSoon expiresAt caExpiresAt } } } }',
    );
    type Row = { name: string; credential: { expiresSoon: boolean; expiresAt: string | null } };
    const soon = data.clusters.nodes.filter(({ credential }: Row) => credential.expiresSoon);
    expect(soon.map(({ name }: Row) => name)).toEqual(['token 3', 'token -1', 'certificate 13', 'CA']);
    expect(data.clusters.nodes.find(({ name }: Row) => name === 'forever').credential.expiresAt).toBeNull();

    const within = async (days: number) => {
      const query = `{ clusters(filter: { credentialExpiresWithinDays: ${days} }) { totalCount nodes { name } } }`;
      const answer = (await app.graphql(query)).data.clusters;
      expect(answer.totalCount).toBe(answer.nodes.length);
      return answer.nodes.map(({ name }: Row) => name);
    };
    expect(await within(0)).toEqual(['token -1']);
    expect(await within(14)).toEqual(['token 3', 'token -1', 'certificate 13', 'CA']);
    expect(await within(16)).toEqual(['token 3', 'token -1', 'certificate 13', 'certificate 15', 'CA']);

    const etagOf = async (query: string) => {
      const path = `/graphql?query=${encodeURIComponent(query)}`;
      const headers = { Authorization: app.admin, Accept: 'application/json' };
      return (await fetch(`${app.url}${path}`, { headers })).headers.get('etag');
    };
    expect(await etagOf('{ clusters { nodes { name } } }')).not.toBeNull();
    for (const query of [
      '{ clusters { nodes { credential { expiresSoon } } } }',
      '{ clusters(filter: { credentialExpiresWithinDays: 14 }) { nodes { name } } }',
      'query ($f: ClusterFilter = { credentialExpiresWithinDays: 14 }) { clusters(filter: $f) { nodes { name } } }',
    ])
      expect(await etagOf(query)).toBeNull();
  });
});
