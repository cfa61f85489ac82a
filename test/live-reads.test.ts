import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Connection } from '../src/kubernetes/transport/connection.ts';
import { type ApiServers, startApiServers } from './support/api-servers.ts';
import { type GraphQLResponse, startApp, type TestApp } from './support/app.ts';
import { needingCommand } from './support/kubeconfigs.ts';
import { binaryFor, kubeconfigOf, register } from './support/live.ts';
import { refusingPort } from './support/stand-in.ts';

const binary = await binaryFor('test/live-reads.test.ts, all against real API servers');
const policy = { allowLoopback: true };
/** A secret in Secrets, annotations and managed fields that no response may contain. */
const canary = 'live-canary-58c1';

describe.skipIf(!binary)('live reads', () => {
  let servers: ApiServers;
  let app: TestApp;
  const answers: string[] = [];
  const ids: Record<string, number> = {};

  /** Reads the `live` field of one cluster. */
  async function live(name: string, selection: string, headers?: Record<string, string>) {
    const answer = await document(`{ cluster(by: { name: "${name}" }) { live { ${selection} } } }`, headers);
    return answer.data?.cluster?.live;
  }

  async function document(query: string, headers?: Record<string, string>): Promise<GraphQLResponse> {
    const answer = await app.graphql(query, {}, headers);
    answers.push(JSON.stringify(answer));
    return answer;
  }

  /** Returns the names on a page of resources, and the faults. */
  async function resources(args: string, name = 'cluster-1') {
    const { page, faults } = await live(
      name,
      `page: resources(${args}) { objects { name } next remaining } faults { path code message }`,
    );
    const names = page?.objects.map((object: { name: string }) => object.name);
    return { names, next: page?.next, remaining: page?.remaining, code: faults[0]?.code, faults };
  }

  async function write(path: string, body: object): Promise<void> {
    const connection = new Connection({ target: await servers.target(1, 'admin-1'), policy });
    const { status, body: said } = await connection.call(path, { method: 'POST', body });
    await connection.close();
    if (status !== 201) throw new Error(`${path}: ${status} ${said}`);
  }

  beforeAll(async () => {
    if (!binary) return;
    servers = await startApiServers(binary, 2);
    app = await startApp({}, { probing: true });
    for (const user of ['cluster-1', 'admin-1', 'reader-1', 'nobody-1'])
      ids[user] = await register(app, user, kubeconfigOf(await servers.target(1, user)));
    const healthy = await servers.target(1, 'admin-1');
    ids.dead = await register(
      app,
      'dead',
      kubeconfigOf({ ...healthy, server: `https://127.0.0.1:${await refusingPort()}` }),
    );
    ids.disabled = await register(app, 'disabled', kubeconfigOf(healthy), { enabled: false });
    ids.unusable = await register(app, 'unusable', needingCommand.GKE);
    ids.wrong = await register(app, 'wrong', kubeconfigOf({ ...healthy, token: canary }));
  });
  afterAll(async () => {
    await app?.close();
    await servers?.close();
  });

  it('returns every part of a cluster', async () => {
    const [{ version } = { version: '' }] = await servers.clusters();
    const answer = await live(
      'cluster-1',
      `version readiness { name ok } namespaces { name phase } faults { code }
       nodes { name ready cpu memory pods kubeletVersion conditions { type status reason message } }
       resources(apiVersion: "apps/v1", kind: "Deployment") { objects { apiVersion kind name namespace uid createdAt manifest } }`,
    );
    expect(answer.faults).toEqual([]);
    expect(answer.version).toBe(version);
    expect(answer.readiness).toContainEqual({ name: 'etcd', ok: true });
    expect(answer.namespaces).toHaveLength(4);
    expect(answer.namespaces).toContainEqual({ name: 'kube-system', phase: 'Active' });
    expect(answer.nodes).toHaveLength(3);
    expect(answer.nodes[0]).toMatchObject({ ready: true, cpu: expect.any(String), memory: expect.any(String) });
    expect(answer.nodes[0].conditions).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'True' }));
    expect(answer.resources.objects).toHaveLength(9);
    for (const { manifest, ...shown } of answer.resources.objects) {
      expect(shown).toMatchObject({ apiVersion: 'apps/v1', kind: 'Deployment', uid: manifest.metadata.uid });
      expect(manifest).toMatchObject({ apiVersion: 'apps/v1', kind: 'Deployment', spec: expect.any(Object) });
    }
  });

  it('a part that fails is null, its fault has the path used in the document, and the other parts are returned', async () => {
    const { data, errors } = await document(`{ cluster(by: { name: "reader-1" }) { live {
      faults { path code message } v: version version
      secret: resources(apiVersion: "v1", kind: "Secret") { objects { name } }
      resources(apiVersion: "v1", kind: "Nothing") { objects { name } }
      nodes { name } } } }`);
    expect(errors).toBeUndefined();
    const { faults, ...parts } = data.cluster.live;
    const version = expect.stringMatching(/^v1/);
    expect(parts).toEqual({ v: version, version, secret: null, resources: null, nodes: expect.any(Array) });
    expect(parts.nodes).toHaveLength(3);
    expect(faults).toHaveLength(2);
    expect(faults).toContainEqual({ path: ['secret'], code: 'FORBIDDEN', message: expect.stringMatching(/\S \S/) });
    expect(faults).toContainEqual({
      path: ['resources'],
      code: 'NOT_FOUND',
      message: expect.stringMatching(/Nothing/),
    });
  });

  it('a credential without permissions reads the version and gets FORBIDDEN for the rest', async () => {
    const { version, nodes, faults } = await live('nobody-1', 'version nodes { name } faults { path code }');
    expect(version).toMatch(/^v1/);
    expect(nodes).toBeNull();
    expect(faults).toEqual([{ path: ['nodes'], code: 'FORBIDDEN' }]);
  });

  it('a cluster that does not answer fails only its own parts', async () => {
    const parts = 'live { version nodes { name } faults { path code } }';
    const { data, errors } = await document(`{ clusters { nodes { name ${parts} } } }`);
    expect(errors).toBeUndefined();
    const codeOf = Object.fromEntries(
      data.clusters.nodes.map((node: { name: string; live: { version: unknown; faults: { code: string }[] } }) => [
        node.name,
        node.live.version === null ? node.live.faults.map(({ code }) => code) : 'answers',
      ]),
    );
    expect(codeOf).toEqual({
      ...{ 'cluster-1': 'answers', 'admin-1': 'answers', 'reader-1': 'answers', 'nobody-1': 'answers' },
      dead: ['REFUSED', 'REFUSED'],
      disabled: ['DISABLED', 'DISABLED'],
      unusable: ['CREDENTIAL_UNUSABLE', 'CREDENTIAL_UNUSABLE'],
      wrong: ['UNAUTHORIZED', 'UNAUTHORIZED'],
    });
  });

  it('pages continue where the previous page ended and contain each object once', async () => {
    const names: string[] = [];
    const remaining: (number | null)[] = [];
    for (let after = ''; ; ) {
      const page = await resources(`apiVersion: "v1", kind: "Pod", first: 8, after: "${after}"`);
      expect(page.faults).toEqual([]);
      names.push(...page.names);
      remaining.push(page.remaining);
      if (page.next === null) break;
      after = page.next;
    }
    expect(new Set(names).size).toBe(20);
    expect(remaining).toEqual([12, 4, null]);
  });

  it('a continue token that has expired is GONE', async () => {
    const { next } = await resources('apiVersion: "v1", kind: "Pod", first: 8');
    await write('/api/v1/namespaces/default/events', eventOf('compacted', 'x'));
    await servers.compact();
    expect(await resources(`apiVersion: "v1", kind: "Pod", after: "${next}"`)).toMatchObject({ code: 'GONE' });
  });

  it('selectors and a namespace filter a page', async () => {
    const pods = 'apiVersion: "v1", kind: "Pod"';
    expect((await resources(`${pods}, fieldSelector: "status.phase=Pending"`)).names).toEqual(['web-2']);
    const byLabel = await resources(`${pods}, labelSelector: "app.kubernetes.io/name in (web), !absent"`);
    expect(byLabel.names.length).toBeGreaterThan(0);
    expect(byLabel.names.every((name: string) => name.startsWith('web'))).toBe(true);
    const services = await resources('apiVersion: "v1", kind: "Service", namespace: "monitoring"');
    expect(services.names).toEqual(['prometheus']);
    expect((await resources(`${pods}, namespace: "nowhere"`)).names).toEqual([]);
  });

  it.each([
    ['a label selector that is none', 'apiVersion: "v1", kind: "Pod", labelSelector: "a in"', 'INVALID_QUERY'],
    ['a field that cannot be selected by', 'apiVersion: "v1", kind: "Pod", fieldSelector: "spec.x=1"', 'INVALID_QUERY'],
    ['a cursor that is none', 'apiVersion: "v1", kind: "Pod", after: "x"', 'INVALID_QUERY'],
    ['a namespace of what has none', 'apiVersion: "v1", kind: "Node", namespace: "default"', 'INVALID_QUERY'],
    [
      'a kind that cannot be listed',
      'apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview"',
      'INVALID_QUERY',
    ],
    ['an unknown kind', 'apiVersion: "v1", kind: "Unknown"', 'NOT_FOUND'],
    ['a plural for a kind', 'apiVersion: "v1", kind: "Pods"', 'NOT_FOUND'],
    ['an unknown group', 'apiVersion: "unknown.example.org/v1", kind: "Pod"', 'NOT_FOUND'],
    ['an unknown version', 'apiVersion: "v9", kind: "Pod"', 'NOT_FOUND'],
    ['a subresource', 'apiVersion: "v1", kind: "Scale"', 'NOT_FOUND'],
  ])('rejects %s with a fault code', async (_what, args, code) => {
    expect(await resources(args)).toMatchObject({ names: undefined, code });
  });

  it.each([0, 251, -1])('rejects %i objects per page as invalid input', async (first) => {
    const { errors } = await document(
      `{ cluster(by: { name: "cluster-1" }) { live { resources(apiVersion: "v1", kind: "Pod", first: ${first}) { next } } } }`,
    );
    expect(errors?.map(({ extensions }) => extensions.code)).toEqual(['INVALID_INPUT']);
  });

  it('a caller without a role learns nothing', async () => {
    const headers = { Authorization: app.keyWithoutRole };
    const { data, errors } = await document(
      `{ cluster(by: { name: "cluster-1" }) { live { version } } clusters { nodes { live { version } } }
         node(id: "Q2x1c3Rlcjp4") { ... on Cluster { live { version } } } }`,
      headers,
    );
    expect(errors).toBeUndefined();
    expect(data).toEqual({ cluster: null, clusters: { nodes: [] }, node: null });
  });

  it('returns neither the data of Secrets nor the copies that kubectl and the API server store in annotations and managed fields', async () => {
    const applied = JSON.stringify({ kind: 'Secret', data: { password: canary } });
    const metadata = (name: string) => ({
      name,
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': applied, team: 'shown' },
      managedFields: [
        {
          ...{
            manager: canary,
            operation: 'Update',
            apiVersion: 'v1',
            fieldsType: 'FieldsV1',
            time: '2026-01-01T00:00:00Z',
          },
          fieldsV1: { 'f:data': { [`f:${canary}`]: {} } },
        },
      ],
    });
    const at = '/api/v1/namespaces/default';
    const data = { password: Buffer.from(canary).toString('base64'), empty: '' };
    await write(`${at}/secrets`, { metadata: metadata('holds-canary'), data, stringData: { other: canary } });
    await write(`${at}/pods`, { metadata: metadata('pod-canary'), spec: { containers: [] } });
    await write(`${at}/events`, { ...eventOf('event-canary', 'nothing'), metadata: metadata('event-canary') });
    const template = { metadata: metadata('inner'), spec: { containers: [] } };
    await write('/apis/apps/v1/namespaces/default/deployments', {
      metadata: metadata('deployment-canary'),
      spec: { selector: { matchLabels: { a: 'b' } }, template },
    });
    const everything = 'apiVersion kind name namespace uid createdAt manifest';
    const kinds = [
      ['v1', 'Secret'],
      ['v1', 'Pod'],
      ['v1', 'Event'],
      ['v1', 'Namespace'],
      ['apps/v1', 'Deployment'],
    ];
    const answer = await live(
      'cluster-1',
      `${kinds.map(([apiVersion, kind]) => `${kind}: resources(apiVersion: "${apiVersion}", kind: "${kind}", first: 100) { objects { ${everything} } }`).join(' ')} faults { code }`,
    );
    expect(answer.faults).toEqual([]);
    const find = (kind: string, wanted: string) =>
      answer[kind].objects.find(({ name }: { name: string }) => name === wanted);
    const { manifest } = find('Secret', 'holds-canary');
    expect(manifest).not.toHaveProperty('data');
    expect(manifest).not.toHaveProperty('stringData');
    expect(manifest.keys).toEqual(['empty', 'other', 'password']);
    expect(Object.keys(manifest.metadata).sort()).toEqual(['creationTimestamp', 'name', 'namespace', 'uid']);
    for (const [kind, name] of [
      ['Pod', 'pod-canary'],
      ['Event', 'event-canary'],
      ['Deployment', 'deployment-canary'],
    ] as const) {
      expect(find(kind, name).manifest.metadata).not.toHaveProperty('managedFields');
      expect(find(kind, name).manifest.metadata.annotations).toEqual({ team: 'shown' });
    }
    const said = [...answers, app.logged()].join('\n').replaceAll(/(pod|event|deployment|holds)-canary/g, '');
    expect(said).toContain('"team":"shown"');
    for (const secret of [canary, Buffer.from(canary).toString('base64')]) expect(said).not.toContain(secret);
  });
});

function eventOf(name: string, message: string) {
  return {
    metadata: { name },
    involvedObject: { kind: 'Pod', name: 'web-0', namespace: 'default' },
    ...{ reason: 'Testing', message, type: 'Normal' },
  };
}
