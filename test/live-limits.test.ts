import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, it } from 'vitest';
import type { TestApp } from './support/app.ts';
import { kubeconfigOf, probingApp, register, untilState } from './support/live.ts';
import { atLoad } from './support/load.ts';
import { answerWith, kubernetes, type StandIn, standIn, token } from './support/stand-in.ts';

/** Twice the time in milliseconds that the live reads of one document may take (docs/architecture.md). */
const LIVE_MS = 8_000;

const KINDS = {
  resources: [
    { name: 'pods', kind: 'Pod', namespaced: true, verbs: ['get', 'list'] },
    { name: 'pods/log', kind: 'Pod', namespaced: true, verbs: ['get'] },
    { name: 'secrets', kind: 'Secret', namespaced: true, verbs: ['list'] },
    { name: 'templates', kind: 'Template', namespaced: true, verbs: ['list'] },
    { name: '../../healthz', kind: 'Climbing', namespaced: false, verbs: ['list'] },
  ],
};

type Lists = (request: IncomingMessage, response: ServerResponse) => void;

/** A stand-in that answers probes and discovery, and answers lists with `lists`. */
function listStandIn(lists: Lists): Promise<StandIn> {
  const probes = kubernetes();
  return standIn((request, response) => {
    const { url = '' } = request;
    if (/^\/(api|apis\/[\w.]+)\/v1$/.test(url)) answerWith(response, 200, KINDS);
    else if (url.startsWith('/api/v1/services')) answerWith(response, 200, { items: [] });
    else if (url.includes('?limit=')) lists(request, response);
    else probes(request, response);
  });
}

const empty: Lists = (_request, response) => answerWith(response, 200, { items: [] });
const items =
  (...objects: unknown[]): Lists =>
  (_request, response) =>
    answerWith(response, 200, { items: objects });

async function openCluster(lists: Lists) {
  const app = await probingApp();
  const server = await listStandIn(lists);
  const id = await register(app, 'a', kubeconfigOf(server.target()));
  await untilState(app, id, 'READY');
  // These requests are sent once after the first contact.
  await expect.poll(() => server.requests.filter((line) => line.includes('/services')).length).toBe(7);
  return { app, server, id };
}

async function live(app: TestApp, selection: string, variables: object = {}, declared = '') {
  const { data, errors } = await app.graphql(
    `query ${declared} { cluster(by: { name: "a" }) { live { ${selection} } } }`,
    variables,
  );
  return { live: data?.cluster?.live, errors };
}

it('no name in a query escapes its path segment', async () => {
  const { app, server } = await openCluster(empty);
  const climbing = [
    '..',
    '../..',
    '%2e%2e',
    '..%2f',
    'a/../b',
    'a..b',
    '//',
    '\\',
    '/',
    '?',
    '#',
    'a b',
    'a\n',
    '\u0000',
    'é',
    '․․',
    'x'.repeat(300),
  ];
  const before = server.requests.length;
  const sendRequest = (variables: object) =>
    live(
      app,
      'resources(apiVersion: $apiVersion, kind: $kind, namespace: $namespace) { next } faults { code }',
      { apiVersion: 'v1', kind: 'Pod', ...variables },
      '($apiVersion: String!, $kind: String!, $namespace: String)',
    );
  for (const text of climbing)
    for (const place of ['apiVersion', 'kind', 'namespace'])
      for (const value of [text, `v1/${text}`, `${text}/v1`, `Pod${text}`, `default${text}`]) {
        const answer = await sendRequest({ [place]: value });
        expect([value, answer.errors, answer.live.faults]).toEqual([value, undefined, [{ code: 'INVALID_QUERY' }]]);
      }
  expect(server.requests).toHaveLength(before);
  // The server's own discovery data cannot escape its path segment either.
  expect((await sendRequest({ kind: 'Climbing' })).live.faults).toEqual([{ code: 'NOT_FOUND' }]);
  expect(server.requests.slice(before)).toEqual(['GET /api/v1']);
});

it('selectors and continue tokens stay one URL parameter each, whatever they contain', async () => {
  const { app, server } = await openCluster(empty);
  const before = server.requests.length;
  for (const text of [
    '../../secrets',
    '%2e%2e/x',
    'x&limit=1',
    'x#y',
    'x?watch=true',
    'a=b&continue=c',
    'é\u0000\n',
    '\\..\\',
  ])
    for (const parameter of ['labelSelector', 'fieldSelector', 'after']) {
      const answer = await live(
        app,
        `resources(apiVersion: "v1", kind: "Pod", namespace: "n", ${parameter}: $text) { next } faults { code }`,
        { text },
        '($text: String)',
      );
      expect(answer.live).toEqual({ resources: { next: null }, faults: [] });
      const { pathname, searchParams } = new URL(server.requests.at(-1)?.replace('GET ', 'http://x') ?? '');
      expect(pathname).toBe('/api/v1/namespaces/n/pods');
      const name = parameter === 'after' ? 'continue' : parameter;
      expect(Object.fromEntries(searchParams)).toEqual({ limit: '50', [name]: text });
    }
  expect(server.requests.length).toBeGreaterThan(before);
});

it('the data of a Secret is removed wherever the Secret is embedded: in templates, lists, other API groups, or objects of another kind', async () => {
  const canary = 'embedded-canary';
  const secret = { kind: 'Secret', apiVersion: 'v1', data: { canary }, stringData: { canary }, type: 'Opaque' };
  const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': canary, kept: 'kept' };
  const { app } = await openCluster(
    items(
      { metadata: { name: 'x', annotations, managedFields: [{ manager: canary }] }, objects: [secret, [secret]] },
      {
        kind: 'List',
        items: [secret, { kind: 'SecretList', items: [{ data: { canary }, metadata: { annotations } }] }],
      },
      { kind: 'ConfigMap', data: { key: 'shown' }, spec: { template: { metadata: { annotations } } } },
      JSON.parse(`{"__proto__":{"kind":"Secret","data":{"x":"${canary}"}},"metadata":"${'kept'}"}`),
    ),
  );
  for (const [apiVersion, kind] of [
    ['v1', 'Template'],
    ['template.openshift.io/v1', 'Template'],
    ['v1', 'Secret'],
    ['other.example.org/v1', 'Secret'],
  ]) {
    const { live: answer } = await live(
      app,
      `resources(apiVersion: "${apiVersion}", kind: "${kind}") { objects { name manifest } } faults { code message }`,
    );
    expect(answer.faults).toEqual([]);
    expect(answer.resources.objects).toHaveLength(4);
    const said = JSON.stringify(answer);
    expect(said).not.toContain(canary);
    // No annotation of a Secret is shown.
    expect(said.includes('"kept"')).toBe(kind === 'Template');
    expect(said.includes('shown')).toBe(kind === 'Template');
  }
});

it.each([400, 401, 403, 404, 410, 422, 429, 500, 302])(
  'the text of a response with status %i is not passed on',
  async (status) => {
    const echo: Lists = ({ headers }, response) =>
      answerWith(response, status, { kind: 'Status', message: `no: ${headers.authorization}` });
    const { app } = await openCluster(echo);
    const { live: answer } = await live(
      app,
      'nodes { name } resources(apiVersion: "v1", kind: "Pod") { next } faults { code message }',
    );
    expect(answer).toMatchObject({ nodes: null, resources: null, faults: { length: 2 } });
    expect(JSON.stringify(answer)).not.toContain(token);
    expect(app.logged()).not.toContain(token);
  },
);

it.each([
  ['no JSON', '<html>', 'NOT_KUBERNETES'],
  ['an array', '[]', 'NOT_KUBERNETES'],
  ['no list', '{}', 'NOT_KUBERNETES'],
  ['items that are none', '{"items":{}}', 'NOT_KUBERNETES'],
  ['an abyss', `{"items":[{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}]}`, 'NOT_KUBERNETES'],
  ['a deep object', `{"items":[${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}]}`, 'NOT_KUBERNETES'],
  ['17 MiB', JSON.stringify({ items: ['x'.repeat(17 * 1024 * 1024)] }), 'RESPONSE_TOO_LARGE'],
])('a response with %s fails only its own part', async (_what, body, code) => {
  const { app } = await openCluster((_request, response) => answerWith(response, 200, body));
  const { live: answer } = await live(
    app,
    'version resources(apiVersion: "v1", kind: "Pod") { objects { manifest } } faults { path code }',
  );
  expect(answer).toEqual({ version: 'v1.31.0', resources: null, faults: [{ path: ['resources'], code }] });
});

it('a list of nodes or namespaces that was cut is listed in the faults, with its number of items', async () => {
  const { app } = await openCluster((request, response) => {
    const list = Array.from({ length: 250 }, (_, index) => ({ metadata: { name: `n${index}` } }));
    // A server that ignores `limit` sends all of them.
    const items = request.url?.startsWith('/api/v1/nodes') ? list : [...list, ...list.slice(0, 10)];
    const metadata = request.url?.startsWith('/api/v1/nodes') ? { continue: 'x', remainingItemCount: 10 } : {};
    answerWith(response, 200, { metadata, items });
  });
  const { live: answer } = await live(app, 'nodes { name } namespaces { name } faults { path code message }');
  expect(answer).toMatchObject({ nodes: { length: 250 }, namespaces: { length: 250 } });
  const { faults } = answer as { faults: { path: string[] }[] };
  const fault = (what: string) => ({
    path: [what],
    code: 'TRUNCATED',
    message: `only the first 250 of 260 ${what} are shown: read the others with \`resources\``,
  });
  expect([...faults].sort((a, b) => `${a.path}`.localeCompare(`${b.path}`))).toEqual([
    fault('namespaces'),
    fault('nodes'),
  ]);
});

it('a page of a server that ignores the limit has the requested objects, and counts the others', async () => {
  const { app } = await openCluster(
    items({ metadata: { name: 'a' } }, { metadata: { name: 'b' } }, { metadata: { name: 'c' } }),
  );
  const { live: answer } = await live(
    app,
    'resources(apiVersion: "v1", kind: "Pod", first: 2) { objects { name } next remaining } faults { code }',
  );
  expect(answer).toEqual({
    resources: { objects: [{ name: 'a' }, { name: 'b' }], next: null, remaining: 1 },
    faults: [],
  });
});

it('values of the wrong type are treated as missing', async () => {
  const odd = {
    metadata: { name: 1, namespace: {}, uid: [] },
    status: { capacity: { cpu: 4 }, conditions: [{}], phase: 0 },
  };
  const { app } = await openCluster(items(odd, { metadata: null, status: null }, 7, null));
  const { live: answer, errors } = await live(
    app,
    `nodes { name cpu conditions { type status } } namespaces { name phase } faults { code }
     resources(apiVersion: "v1", kind: "Pod") { objects { name namespace uid createdAt kind } next remaining }`,
  );
  expect(errors).toBeUndefined();
  expect(answer).toMatchObject({
    nodes: [
      { name: '', cpu: null, conditions: [{ type: '', status: '' }] },
      { name: '', cpu: null },
    ],
    namespaces: [{ name: '', phase: null }, { name: '' }],
    resources: { objects: [{ name: '', kind: 'Pod' }, { name: '' }], next: null, remaining: null },
  });
});

it('one document makes at most a hundred calls', async () => {
  const { app, server } = await openCluster(empty);
  const before = server.requests.length;
  const aliases = Array.from({ length: 110 }, (_, n) => `v${n}: version`).join(' ');
  const { live: answer, errors } = await live(app, `${aliases} faults { path code }`);
  expect(errors).toBeUndefined();
  expect(server.requests.length - before).toBe(100);
  expect(answer.faults).toHaveLength(10);
  expect(answer.faults[0]).toEqual({ path: ['v100'], code: 'TOO_MANY_CALLS' });
  expect(answer.v99).toBe('v1.31.0');
});

it('calls cost, and a document that costs too much calls no cluster', async () => {
  const { app, server } = await openCluster(empty);
  const before = server.requests.length;
  const aliases = Array.from({ length: 201 }, (_, n) => `v${n}: version`).join(' ');
  expect((await live(app, aliases)).errors?.[0]?.extensions.code).toBe('TOO_COSTLY');
  const { errors } = await app.graphql('{ clusters(first: 100) { nodes { live { version nodes { name } } } } }');
  expect(errors?.[0]?.extensions.code).toBe('TOO_COSTLY');
  expect(server.requests).toHaveLength(before);
});

it('hanging reads end after eight seconds, run four at a time, and delay neither probes nor other clusters', async () => {
  let [open, most] = [0, 0];
  const { app, id } = await openCluster((_request, response) => {
    most = Math.max(most, ++open);
    response.once('close', () => open--);
  });
  const other = await register(app, 'b', kubeconfigOf((await listStandIn(empty)).target()));
  await untilState(app, other, 'READY');
  const aliases = Array.from({ length: 12 }, (_, n) => `n${n}: nodes { name }`).join(' ');
  const began = performance.now();
  const hanging = Promise.all([
    live(app, `version ${aliases} faults { path code }`),
    live(app, 'nodes { name } faults { code }'),
  ]);
  await expect.poll(() => open).toBe(4);
  const probed = await app.graphql(
    'mutation { probeCluster(input: { by: { name: "a" } }) { ... on ProbeClusterSuccess { cluster { status { state } } } } }',
  );
  expect(probed.data.probeCluster.cluster.status.state).toBe('READY');
  const { data } = await app.graphql('{ cluster(by: { name: "b" }) { live { version nodes { name } } } }');
  expect(data.cluster.live).toEqual({ version: 'v1.31.0', nodes: [] });
  expect(performance.now() - began).toBeLessThan(atLoad(LIVE_MS / 2));
  const [first, second] = await hanging;
  expect(performance.now() - began).toBeLessThan(atLoad(2 * LIVE_MS));
  expect(first.live.version).toBe('v1.31.0');
  expect(first.live.faults).toHaveLength(12);
  for (const { code } of [...first.live.faults, ...second.live.faults]) expect(code).toBe('TIMED_OUT');
  expect(most).toBe(4);
  await untilState(app, id, 'READY');
});
