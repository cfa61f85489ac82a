import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { freshApp } from './support/wire.ts';

let app: TestApp;
let number = 0;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const fresh = () => {
  number += 1;
  return `cluster ${number}`;
};
const raw = (fields: string) => app.rest('POST', CLUSTERS, `{${fields}}`);
const listed = async (id: number, from: TestApp = app) =>
  (await from.rest('GET', CLUSTERS)).body.find((cluster: { id: number }) => cluster.id === id);
const stored = async (fields: object) => {
  const { status, body } = await app.rest('POST', CLUSTERS, { name: fresh(), ...fields });
  expect([status, body.error]).toEqual([201, undefined]);
  return listed(body.id);
};
/** Expects that create and update both refuse the field by its name and store nothing. */
const refused = async (field: string, value: unknown) => {
  const before = (await app.rest('GET', CLUSTERS)).text;
  for (const [method, path] of [
    ['POST', CLUSTERS],
    ['PUT', `${CLUSTERS}1`],
  ] as const) {
    const { status, body } = await app.rest(method, path, { name: fresh(), [field]: value });
    expect([status, body]).toEqual([400, { error: expect.stringMatching(new RegExp(`^${field}\\b`)) }]);
  }
  expect((await app.rest('GET', CLUSTERS)).text).toBe(before);
};
beforeAll(() => stored({}));

describe('request fields', () => {
  it('missing fields are named in the error', async () => {
    for (const body of [{}, { name: null }, { description: 'd' }])
      expect((await app.rest('POST', CLUSTERS, body)).text).toBe('{"error":"name is required"}');
    expect((await app.rest('POST', CLUSTERS, { name: '' })).body.error).toMatch(/^name\b/);
  });

  const text = ['name', 'description', 'config', 'prometheusURL'];
  it.each(text)('a field of the wrong type is named in the error: %s', async (field) => {
    for (const value of [1, {}, ['a'], true]) await refused(field, value);
  });

  it.each(['inCluster', 'isDefault', 'enabled'])(
    'a field of the wrong type is named in the error: %s',
    async (field) => {
      for (const value of [1, 'true', {}, '']) await refused(field, value);
    },
  );

  it('all wrong fields are named together', async () => {
    const { body } = await app.rest('POST', CLUSTERS, { name: 1, enabled: 'no' });
    expect(body.error).toMatch(/name.*enabled/);
  });

  it('unknown fields are ignored', async () => {
    const unknown = { id: 99, version: 'v9', error: 'e', labels: 7, constructor: 1, toString: null };
    expect(await stored(unknown)).not.toMatchObject({ id: 99 });
    const { status } = await raw(`"name":"${fresh()}","__proto__":{"enabled":false}`);
    expect(status).toBe(201);
  });

  it('field names are case-insensitive, and the exact spelling wins in any position', async () => {
    const exact = await raw(`"name":"${fresh()}","prometheusUrl":"http://folded","PROMETHEUSURL":"http://last"`);
    expect(await listed(exact.body.id)).toMatchObject({ prometheusURL: 'http://last' });
    for (const fields of [
      '"Description":"folded","description":"exact","ENABLED":false,"enabled":true',
      '"description":"exact","Description":"folded","enabled":true,"ENABLED":false',
    ]) {
      const { body } = await raw(`"name":"${fresh()}",${fields}`);
      expect(await listed(body.id)).toMatchObject({ description: 'exact', enabled: true });
    }
    const { body } = await raw(`"NAME":"${fresh()}","ISDEFAULT":true,"incluster":true`);
    expect(await listed(body.id)).toMatchObject({ isDefault: true, inCluster: true });
    await app.rest('PUT', `${CLUSTERS}${body.id}`, '{"IsDefault":false,"Name":"renamed in another case"}');
    expect(await listed(body.id)).toMatchObject({ isDefault: false, name: 'renamed in another case' });
  });

  it('the last occurrence of a repeated field counts', async () => {
    const { body } = await raw(`"name":"first","name":"${fresh()}","description":"a","description":"b"`);
    expect(await listed(body.id)).toMatchObject({ name: `cluster ${number}`, description: 'b' });
  });

  it('fields with NUL or lone surrogates are refused', async () => {
    for (const field of text)
      for (const value of ['a\u0000b', 'http://a/\ud800', '\udc00']) await refused(field, value);
    for (const config of ['a\u0000b', '\ud800']) {
      const { status, body } = await (await freshApp()).rest('POST', `${CLUSTERS}import`, { config });
      expect([status, body.error]).toEqual([400, expect.stringMatching(/^config\b/)]);
    }
  });
});

describe('name', () => {
  it('a name of up to 253 characters is stored byte for byte', async () => {
    for (const name of ['x'.repeat(253), '🚢'.repeat(253)]) expect((await stored({ name })).name).toBe(name);
  });

  it.each([
    'a',
    ' padded ',
    'UPPER and lower',
    'a/b?c#d%20',
    '"quoted" \\ <b>',
    'cafe\u0301',
    'caf\u00e9',
    'naïve Überschrift 東京',
    '\u202eabc',
  ])('a name is stored byte for byte: %s', async (name) => {
    expect((await stored({ name })).name).toBe(name);
  });

  it('names that differ in case, spaces or Unicode composition are different names', async () => {
    for (const name of ['Same', 'same', 'same ', ' same', 'sam\u00e9', 'same\u0301']) await stored({ name });
    for (const name of ['same', 'sam\u00e9']) {
      const { status, text } = await app.rest('POST', CLUSTERS, { name });
      expect([status, text]).toEqual([409, '{"error":"cluster already exists"}']);
    }
  });

  it.each([' ', '\u00a0\u3000', 'a\nb', 'a\tb', '\u0007', 'a\u007f', 'a\u0085'])(
    'a name that is blank or contains control characters is refused: %j',
    (name) => refused('name', name),
  );

  it('a name longer than 253 characters is refused', async () => {
    for (const name of ['x'.repeat(254), '🚢'.repeat(254)]) await refused('name', name);
  });
});

describe('description', () => {
  it('a description may have up to 10,000 characters, including line breaks', async () => {
    for (const description of ['', 'a\nb\tc', '🚢'.repeat(10_000)])
      expect((await stored({ description })).description).toBe(description);
    await refused('description', 'x'.repeat(10_001));
  });
});

describe('config', () => {
  it.each([
    [-8.64e12, '0001-01-01T00:00:00.000Z'],
    [-62_167_219_201, '0001-01-01T00:00:00.000Z'],
    [8.64e12, '9999-12-31T23:59:59.999Z'],
  ])('a token that expires at %d is shown with the nearest time of the years 1 to 9999', async (exp, expiresAt) => {
    const payload = Buffer.from(JSON.stringify({ exp })).toString('base64url');
    const { id } = await stored({ config: kubeconfig({ user: { token: `e30.${payload}.c2ln` } }), enabled: false });
    const question = 'query ($id: Int) { cluster(by: { databaseId: $id }) { credential { expiresAt } } }';
    expect((await app.graphql(question, { id })).data.cluster.credential).toEqual({ expiresAt });
  });
});

describe('prometheusURL', () => {
  it('a prometheusURL may have up to 2,048 characters', async () => {
    const long = `http://prometheus/${'x'.repeat(2_048 - 18)}`;
    expect(await stored({ prometheusURL: long })).toMatchObject({ prometheusURL: long });
    await refused('prometheusURL', `${long}x`);
  });

  it.each([
    ...[
      '',
      'http://prometheus.monitoring.svc:9090',
      'https://p/prefix?a=b',
      'http://p/a@b',
      'http://p?a@b',
      'HTTP://P',
      'http://10.0.0.1:9090',
    ],
    ...['http://[fd00::1]:9090', 'http://127.0.0.1:9090', 'http://localhost:9090'],
  ])('a prometheusURL is stored as it is written: %s', async (prometheusURL) => {
    expect((await stored({ prometheusURL })).prometheusURL).toBe(prometheusURL);
  });

  it.each([
    ...[
      'prometheus:9090',
      '//prometheus',
      'ftp://p',
      'file:///etc/passwd',
      'javascript:alert(1)',
      'http:p',
      'http://',
      'x',
    ],
    ...[
      'http://user@p',
      'http://user:pass@p',
      'http://:pass@p',
      'http://@p',
      'http://:@p',
      'http:///u@p',
      'http://p@u:80/',
      'http://p:99999',
      ' ',
      'http://a b',
    ],
    ...['http://p/\r\nHost: x', 'http://p\n', ' http://p'],
  ])('a prometheusURL must be http or https without user info: %j', (value) => refused('prometheusURL', value));

  it.each([
    ...[
      'http://169.254.169.254/',
      'http://2852039166/',
      'http://0xa9fea9fe/',
      'http://0251.0376.0251.0376',
      'http://169.254.43518',
    ],
    ...[
      'http://169.254.169.254.:80',
      'http://[fd00:ec2::254]',
      'http://[::ffff:169.254.169.254]',
      'http://[64:ff9b::a9fe:a9fe]',
    ],
    ...[
      'http://[fe80::1]',
      'http://0.0.0.0:9090',
      'http://[::]',
      'http://224.0.0.1',
      'http://[ff02::1]',
      'http://100.100.100.200',
    ],
    ...['http://１６９.254.169.254'],
  ])('a link-local, metadata, multicast or unspecified prometheusURL is refused: %s', (value) =>
    refused('prometheusURL', value),
  );

  it('a loopback prometheusURL is accepted only where loopback targets are allowed', async () => {
    const other = await freshApp({ ALLOW_LOOPBACK_TARGETS: 'false' });
    for (const prometheusURL of [
      'http://127.0.0.1:9090',
      'http://[::1]',
      'http://localhost',
      'http://a.localhost.',
      'http://127.1',
    ])
      expect((await other.rest('POST', CLUSTERS, { name: 'x', prometheusURL })).status).toBe(400);
    expect((await other.rest('POST', CLUSTERS, { name: 'x', prometheusURL: 'http://10.0.0.1' })).status).toBe(201);
  });
});
