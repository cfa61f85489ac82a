import type { RequestListener } from 'node:http';
import { gzipSync } from 'node:zlib';
import { expect, it, vi } from 'vitest';
import { containsObject } from '../src/kubernetes/api/applied-copies.ts';
import { redact } from '../src/kubernetes/api/redact.ts';
import { kubeconfigOf, probingApp, register, untilState } from './support/live.ts';
import { answerWith, kubernetes, standIn } from './support/stand-in.ts';

const canary = 'secret-canary';
const encoded = Buffer.from(canary).toString('base64');
const data = { password: encoded };
const secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {
    name: 'login',
    namespace: 'web',
    uid: 'u-1',
    labels: { app: 'web', odd: { canary } },
    annotations: { note: canary },
    ownerReferences: [{ kind: 'App', name: canary }],
    finalizers: [canary],
    creationTimestamp: '2026-01-01T00:00:00Z',
    deletionTimestamp: '2026-01-02T00:00:00Z',
    managedFields: [{ manager: canary }],
  },
  type: 'Opaque',
  immutable: true,
  data,
  stringData: { password: canary, user: canary },
  extra: canary,
};
const bare = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {
    name: 'login',
    namespace: 'web',
    uid: 'u-1',
    labels: { app: 'web' },
    creationTimestamp: '2026-01-01T00:00:00Z',
    deletionTimestamp: '2026-01-02T00:00:00Z',
  },
  type: 'Opaque',
  keys: ['password', 'user'],
};
const json = JSON.stringify(secret);
const packed = gzipSync(json).toString('base64');

it("shows only a Secret's name, namespace, uid, labels, times, type and key names", () => {
  expect(redact(secret, 'Secret')).toEqual(bare);
  const { kind: _, apiVersion: __, ...item } = secret;
  const { kind: ___, apiVersion: ____, ...bareItem } = bare;
  expect(redact(item, 'Secret')).toEqual(bareItem);
});

it('redacts a Secret that is embedded in another object in the same way', () => {
  const work = redact({ spec: { workload: { manifests: [secret] }, deep: [[{ secret }]] } }, 'ManifestWork');
  expect(work).toEqual({ spec: { workload: { manifests: [bare] }, deep: [[{ secret: bare }]] } });
  expect(redact({ kind: 'SecretList', items: [{ data, metadata: { name: 'x' } }] }, 'List')).toEqual({
    kind: 'SecretList',
    items: [{ metadata: { name: 'x' }, keys: ['password'] }],
  });
});

it('keeps a reference to a Secret', () => {
  const event = {
    involvedObject: { apiVersion: 'v1', kind: 'Secret', name: 'login', namespace: 'web', uid: 'u-1' },
    valuesFrom: [{ kind: 'Secret', name: 'login', valuesKey: 'values.yaml' }],
  };
  expect(redact(event, 'Event')).toEqual(event);
});

it.each(['ClusterSecret', 'SealedSecret', 'ExternalSecret', 'SecretTemplate', 'clustersecret'])(
  'omits data and stringData of a %s and keeps its spec',
  (kind) => {
    const spec = { template: { type: 'Opaque' }, encryptedData: { password: 'AgB' } };
    expect(redact({ spec, data, stringData: { password: canary } }, kind)).toEqual({ spec });
    expect(redact({ items: [{ kind, spec, data }] }, 'List')).toEqual({ items: [{ kind, spec }] });
  },
);

it('keeps the data of kinds that hold no secrets', () => {
  expect(redact({ data: { shown: 'shown' } }, 'ConfigMap')).toEqual({ data: { shown: 'shown' } });
});

it.each([
  'kubectl.kubernetes.io/last-applied-configuration',
  'banzaicloud.com/last-applied',
  'qbec.io/last-applied',
  'kopf.zalando.org/last-handled-configuration',
  'objectset.rio.cattle.io/applied',
  'kapp.k14s.io/original',
  'kapp.k14s.io/original-diff',
  'kapp.k14s.io/original-diff-full',
  'ksonnet.io/managed',
  'kubernetes.io/change-cause',
  'openshift.io/token-secret.value',
])('omits the annotation %s whatever its value, in templates too', (name) => {
  const metadata = { annotations: { [name]: canary, team: 'shown' } };
  expect(redact({ metadata, spec: { template: { metadata } } }, 'Deployment')).toEqual({
    metadata: { annotations: { team: 'shown' } },
    spec: { template: { metadata: { annotations: { team: 'shown' } } } },
  });
});

it.each([
  ['JSON', json],
  ['JSON with spaces', JSON.stringify(secret, null, 2)],
  ['JSON with escaped keys', '{"\\u006bind":"Secret","d\\u0061ta":{}}'],
  ['JSON in a list', `[${json}]`],
  ['JSON within JSON', JSON.stringify({ pristine: json })],
  ['JSON within JSON within JSON', JSON.stringify({ a: JSON.stringify({ pristine: json }) })],
  ['data alone', JSON.stringify({ data })],
  ['stringData alone', JSON.stringify({ metadata: {}, stringData: data })],
  ['YAML', `apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ndata:\n  password: ${encoded}\n`],
  ['YAML of a list', `- type: test\n  path: /data\n- kind: Secret\n  data: {}\n`],
  ['YAML in flow style', `{kind: Secret, data: {password: ${encoded}}}`],
  ['YAML with quoted keys', `"kind": Secret\n'data': {}`],
  ['YAML with an escaped key', `"k\\x69nd": Secret`],
  ['YAML with an anchor', `&a kind: Secret`],
  ['YAML with an explicit key', `? kind\n: Secret`],
  ['YAML in another mapping', `original:\n    kind: Secret`],
  ['base64 of JSON', Buffer.from(json).toString('base64')],
  [
    'base64 in lines',
    (
      Buffer.from(json)
        .toString('base64')
        .match(/.{1,64}/g) ?? []
    ).join('\n'),
  ],
  ['base64url of JSON', Buffer.from(json).toString('base64url')],
  ['base64 of base64', Buffer.from(Buffer.from(json).toString('base64')).toString('base64')],
  ['gzip', packed],
  ['gzip, twice in base64', Buffer.from(packed).toString('base64')],
  ['gzip within JSON', JSON.stringify({ pristine: packed })],
])('omits an annotation that contains an object as %s', (_form, value) => {
  const annotations = { 'example.com/state': value, team: 'shown' };
  expect(redact({ metadata: { annotations }, spec: { podAnnotations: annotations } }, 'Pod')).toEqual({
    metadata: { annotations: { team: 'shown' } },
    spec: { podAnnotations: { team: 'shown' } },
  });
});

it.each([
  'true',
  'some kind of data',
  'https://example.com/a?kind=b&data=c',
  '[{"name":"k8s-pod-network","ips":["10.1.2.3"],"default":true,"dns":{}}]',
  '{"limits":{"cpu":"1"},"metadata":{}}',
  'c2hvcnQ=',
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'first line\nsecond line, with a comma',
])('keeps the annotation value %s', (value) => {
  const object = { metadata: { annotations: { 'example.com/note': value } } };
  expect(redact(object, 'Pod')).toEqual(object);
});

it('omits an annotation of more than 256 KiB without reading it, and shows one of 256 KiB', () => {
  const annotations = { long: 'x'.repeat(256 * 1024 + 1), fits: 'x'.repeat(256 * 1024) };
  const read = vi.spyOn(RegExp.prototype, 'test');
  const shown = redact({ metadata: { annotations } }, 'Pod');
  const lengths = read.mock.calls.map(([text]) => text.length);
  read.mockRestore();
  expect(shown).toEqual({ metadata: { annotations: { fits: annotations.fits } } });
  expect(Math.max(...lengths)).toBe(256 * 1024);
});

it('reads at most 512 KiB of the annotations of one object, however many objects are embedded in it', () => {
  const text = '\\u006b'.repeat(10_000);
  const templates = Array.from({ length: 30 }, () => ({ metadata: { annotations: { a: text, b: '' } } }));
  const read = vi.spyOn(String.prototype, 'replace');
  redact({ spec: { templates } }, 'List');
  const calls = read.mock.contexts.filter((context) => String(context) === text).length;
  read.mockRestore();
  expect(calls).toBe(Math.floor((512 * 1024) / text.length));
});

it.each([' ', '\n', '- ', ',', ', ', '{', '\\', ',kind ', '& ', ',!', '"', '\\u006b', '"H4sI', 'QUFB'])(
  'finds no object in an annotation of maximum length made of %j alone',
  (part) => {
    for (const end of ['', '!', ' ='])
      expect(containsObject(part.repeat((256 * 1024 - 2) / part.length) + end)).toBe(false);
  },
);

it('shows no secret of any kind over GraphQL', async () => {
  const kinds = ['Secret', 'ClusterSecret', 'ConfigMap', 'ManifestWork'];
  const annotations = { 'kapp.k14s.io/original': json, 'example.com/state': json, team: 'shown' };
  const lists: Record<string, object> = {
    secrets: { items: [secret] },
    clustersecrets: { items: [{ metadata: { name: 'all', annotations }, data, spec: { shown: 'shown' } }] },
    configmaps: { items: [{ metadata: { name: 'settings', annotations }, data: { shown: 'shown' } }] },
    manifestworks: { items: [{ metadata: { name: 'work' }, spec: { workload: { manifests: [secret] } } }] },
  };
  const probes = kubernetes();
  const answer: RequestListener = (request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://x');
    const list = lists[pathname.replace('/api/v1/', '')];
    const resources = kinds.map((kind) => ({
      kind,
      name: `${kind.toLowerCase()}s`,
      namespaced: true,
      verbs: ['list'],
    }));
    if (pathname === '/api/v1') answerWith(response, 200, { resources });
    else if (list) answerWith(response, 200, list);
    else probes(request, response);
  };
  const app = await probingApp();
  const server = await standIn(answer);
  const id = await register(app, 'a', kubeconfigOf(server.target()));
  await untilState(app, id, 'READY');
  const parts = kinds.map(
    (kind) => `${kind}: resources(apiVersion: "v1", kind: "${kind}") { objects { name manifest } }`,
  );
  const said = await app.graphql(`{ cluster(by: { name: "a" }) { live { ${parts.join(' ')} faults { code } } } }`);
  const { live } = said.data.cluster;
  expect(live.faults).toEqual([]);
  expect(live.Secret.objects).toEqual([{ name: 'login', manifest: bare }]);
  expect(live.ClusterSecret.objects[0].manifest.spec).toEqual({ shown: 'shown' });
  expect(live.ConfigMap.objects[0].manifest.data).toEqual({ shown: 'shown' });
  for (const word of [canary, encoded]) {
    expect(JSON.stringify(said)).not.toContain(word);
    expect(app.logged()).not.toContain(word);
  }
});
