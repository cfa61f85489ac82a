import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLUSTERS } from './support/app.ts';
import { allRowsOf } from './support/database.ts';
import { POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { atLoad } from './support/load.ts';
import { Browser, CLIENT_SECRET, startOpenIdProvider } from './support/open-id-provider.ts';
import { failToStart, type Running, runCommand, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

const CANARY = 'zq7Yellow9Feathered4Secret';
const KEY = `kite5-${CANARY}-0123456789abcdef`;
/** Not a secret: finding it proves that the search works. */
const MARK = 'mk3Described8Openly';

/** The parts of a text that are recognizable inside base64, for each of the three possible offsets. */
function withinBase64(text: string): string[] {
  return [0, 1, 2].map((offset) => base64('x'.repeat(offset) + text).slice(offset === 0 ? 0 : 4, -4));
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** The secret as plain text, inside base64 and inside double base64 (as the client key in a kubeconfig). */
const SPELLINGS = [CANARY, ...withinBase64(CANARY), ...withinBase64(CANARY).flatMap(withinBase64)];

function expectNoSecret(where: string, bytes: Buffer | string, spellings = SPELLINGS): void {
  for (const spelling of spellings) {
    const at = bytes.indexOf(spelling);
    if (at >= 0)
      throw new Error(`${where} holds the secret: …${bytes.toString().slice(Math.max(0, at - 100), at + 60)}…`);
  }
}

const pem = `-----BEGIN PRIVATE KEY-----\n${base64(`key ${CANARY}`)}\n-----END PRIVATE KEY-----\n`;

const usable = {
  token: kubeconfig({ user: { token: CANARY } }),
  'an unused user': kubeconfig({
    root: {
      users: [
        { name: 'u', user: {} },
        { name: 'v', user: { token: CANARY } },
      ],
    },
  }),
};

const unusable = {
  password: kubeconfig({ user: { username: 'admin', password: CANARY } }),
  exec: kubeconfig({ user: { exec: { command: CANARY, args: [CANARY], env: [{ name: 'A', value: CANARY }] } } }),
  'auth-provider': kubeconfig({ user: { 'auth-provider': { name: 'oidc', config: { 'id-token': CANARY } } } }),
  tokenFile: kubeconfig({ user: { tokenFile: `/run/${CANARY}` } }),
  'a client key that is none': kubeconfig({
    user: { 'client-certificate-data': base64(CANARY), 'client-key-data': base64(pem) },
  }),
  'a CA that is none': kubeconfig({ cluster: { 'certificate-authority-data': base64(CANARY) } }),
  'a token with a line break': kubeconfig({ user: { token: `${CANARY}\r\nX: y` } }),
  'a token of another type': kubeconfig({ user: { token: [CANARY] } }),
  'user info in the server': kubeconfig({ cluster: { server: `https://admin:${CANARY}@10.0.0.1:6443` } }),
  'a server that is none': kubeconfig({ cluster: { server: CANARY } }),
  'a proxy with a password': kubeconfig({ cluster: { 'proxy-url': `http://admin:${CANARY}@proxy:3128` } }),
  'an unknown key': kubeconfig({ user: { token: CANARY, passphrase: CANARY } }),
  impersonation: kubeconfig({ user: { token: CANARY, as: CANARY } }),
  'no YAML': `users:\n- user: {token: ${CANARY}\n  ]`,
  'a tag': `users: !!js/function ${CANARY}`,
  'a text': CANARY,
  'another document': `kind: Secret\n---\ndata: ${CANARY}\n`,
  'an alias that stands nowhere': `users: *${CANARY}`,
  'a duplicate': `kind: Config\nusers: ${CANARY}\nusers: ${CANARY}\n`,
};

const CREATE = `mutation ($input: CreateClusterInput!) { createCluster(input: $input) { __typename
  ... on CreateClusterSuccess { cluster { id name apiServer credential { kind problem } status { state error { message } } } warnings { message } }
  ... on InvalidInputError { message issues { path message } } ... on Error { message code } } }`;
const IMPORT = `mutation ($input: ImportClustersInput!) { importClusters(input: $input) { __typename
  ... on Error { message code } } }`;
const TEST = `mutation ($input: TestConnectionInput!) { testClusterConnection(input: $input) { __typename ... on Error { message } } }`;

/** Sends a request, searches the complete response for the secret, and returns status and text. */
async function requestAndSearch(
  app: Running,
  method: string,
  path: string,
  body?: string,
  headers: Record<string, string> = {},
) {
  const response = await fetch(`${app.url}${path}`, {
    method,
    headers: { Authorization: KEY, 'Content-Type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  expectNoSecret(`the answer to ${method} ${path.slice(0, 40)} ${(body ?? '').slice(0, 200)}`, text);
  expectNoSecret('a header', JSON.stringify([...response.headers]));
  return { status: response.status, text };
}

const rest = (app: Running, method: string, path: string, body?: object) =>
  requestAndSearch(app, method, `${CLUSTERS}${path}`, body && JSON.stringify(body));
const graphql = (app: Running, query: string, variables: object) =>
  requestAndSearch(app, 'POST', '/graphql', JSON.stringify({ query, variables }));

async function storeAll(app: Running): Promise<void> {
  for (const [kind, config] of Object.entries({ ...usable, ...unusable })) {
    const { status } = await rest(app, 'POST', '', { name: `rest ${kind}`, config, description: MARK });
    expect([kind, status]).toEqual([kind, 201]);
    await rest(app, 'PUT', '1', { config, isDefault: true });
    const credential = { kubeconfig: { text: config } };
    for (const verify of ['SYNTAX', 'NONE'])
      await graphql(app, CREATE, { input: { name: `graphql ${kind} ${verify}`, credential, verify } });
    await graphql(app, IMPORT, { input: { kubeconfig: config, dryRun: kind !== 'token' } });
    await graphql(app, TEST, { input: { kubeconfig: { text: config } } });
    await rest(app, 'POST', 'import', { config });
  }
}

async function sendNonsense(app: Running): Promise<void> {
  const name = 'nonsense';
  for (const body of [
    { name, config: { token: CANARY } },
    { name, config: [CANARY] },
    { name, config: 'x', enabled: CANARY },
    { name: { first: CANARY }, config: CANARY },
    { name, config: CANARY, prometheusURL: `http://admin:${CANARY}@prometheus:9090` },
    { config: CANARY },
    [CANARY],
  ])
    expect((await rest(app, 'POST', '', body)).status).toBe(400);
  for (const body of [`{"name":"x","config":"${CANARY}"`, `"${CANARY}"`, CANARY, `{"${CANARY}`])
    expect((await requestAndSearch(app, 'POST', CLUSTERS, body)).status).toBe(400);
  expect(
    (await requestAndSearch(app, 'POST', CLUSTERS, JSON.stringify({ name, config: CANARY.repeat(200_000) }))).status,
  ).toBe(413);
  expect((await requestAndSearch(app, 'POST', CLUSTERS, CANARY, { 'Content-Encoding': 'gzip' })).status).toBe(400);
  expect((await requestAndSearch(app, 'PUT', `${CLUSTERS}999`, JSON.stringify({ config: CANARY }))).status).toBe(404);

  const text = { kubeconfig: { text: CANARY } };
  for (const input of [
    { name, credential: { kubeconfig: { text: [CANARY] } } },
    { name, credential: { kubeconfig: CANARY } },
    { name, credential: { ...text, inCluster: true } },
    { name, credential: { kubeconfig: { text: CANARY, context: 'none', password: CANARY } } },
    { name, credential: text, verify: CANARY },
    { name: 5, credential: text },
    { name, credential: text, secret: CANARY },
    CANARY,
  ])
    await graphql(app, CREATE, { input });
  const literal = (value: string) =>
    `mutation { createCluster(input: { name: "x", credential: ${value} }) { __typename } }`;
  for (const value of [
    `{ kubeconfig: { text: ["${CANARY}"] } }`,
    `{ kubeconfig: "${CANARY}" }`,
    `{ kubeconfig: { text: "${CANARY}", password: "${CANARY}" } }`,
    `{ kubeconfig: { text: "${CANARY}`,
    `{ kubeconfig: { text: "${CANARY}" "${CANARY}" } }`,
    `"${CANARY}"`,
  ])
    await graphql(app, literal(value), {});
  await requestAndSearch(app, 'POST', '/graphql', `{"query": "{ viewer { name } }", "variables": "${CANARY}`);
  await requestAndSearch(app, 'POST', '/graphql', JSON.stringify({ query: '{ viewer { name } }', variables: CANARY }));
  await requestAndSearch(app, 'POST', '/graphql', JSON.stringify([CANARY]));
  await requestAndSearch(
    app,
    'GET',
    `/graphql?query=${encodeURIComponent(`{ cluster(by: { name: 1 }) { name } }`)}&${CANARY}`,
  );
}

async function sendBadCredentials(app: Running): Promise<void> {
  for (const Authorization of [`kite5-${CANARY}`, `kite${CANARY}`, `Bearer kite1-${CANARY}`, `Basic ${base64(CANARY)}`])
    for (const path of [CLUSTERS, '/graphql?query={viewer{name}}', `/api/v1/none?token=${CANARY}`])
      expect((await requestAndSearch(app, 'GET', path, undefined, { Authorization })).status).toBeLessThan(500);
  await requestAndSearch(app, 'GET', CLUSTERS, undefined, { Authorization: '', Cookie: `auth_token=${CANARY}` });
  await requestAndSearch(app, 'POST', CLUSTERS, JSON.stringify({ config: CANARY }), {
    Authorization: '',
    Origin: 'https://evil.example',
  });
}

async function readAll(app: Running): Promise<void> {
  const { text } = await rest(app, 'GET', '');
  expect(text).toContain(MARK);
  const query = `{ clusters(first: 100) { nodes { id name description apiServer prometheusURL
    credential { kind problem expiresAt } status { state error { message } } } } }`;
  expect((await graphql(app, query, {})).text).toContain(MARK);
  for (const path of ['/healthz', '/readyz', '/metrics', '/', '/graphql']) await requestAndSearch(app, 'GET', path);
}

const CREATE_USER = `mutation ($input: CreateUserInput!) { createUser(input: $input) { __typename
  ... on Error { message code } ... on InvalidInputError { issues { path message } } } }`;
const UPDATE_USER = `mutation ($input: UpdateUserInput!) { updateUser(input: $input) { __typename ... on Error { message code } } }`;

/** Searches every file of a data directory. */
async function searchFiles(dataDir: string, search: (where: string, bytes: Buffer) => void, except: readonly string[]) {
  for (const name of await readdir(dataDir))
    if (!except.includes(name)) search(name, await readFile(join(dataDir, name)));
}

describe('expectNoSecret', () => {
  it.each(['', 'k', 'ke', 'key'])('finds a secret after %j, as plain text and in base64', (before) => {
    for (const text of [before + CANARY, base64(`${before}${CANARY} and more`), base64(pem)])
      expect(() => expectNoSecret('a text', Buffer.from(`some ${text} more`))).toThrow(/holds the secret/);
  });
});

describe('a secret', () => {
  it('a kubeconfig secret is in no response, no log line, no audit record and no database page', {
    timeout: atLoad(120_000),
  }, async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir, environment: { ADMIN_API_KEY: KEY, LOG_LEVEL: 'debug' } });
    await storeAll(app);
    await sendNonsense(app);
    await sendBadCredentials(app);
    await readAll(app);

    const search = async () => {
      let marked = false;
      for (const name of await readdir(dataDir)) {
        const bytes = await readFile(join(dataDir, name));
        expectNoSecret(name, bytes);
        marked ||= bytes.includes(MARK) && bytes.includes('k1.');
      }
      const rows = POSTGRES ? await allRowsOf(dataDir) : '';
      expectNoSecret('the database', rows);
      marked ||= rows.includes(MARK) && rows.includes('k1.');
      expect(marked).toBe(true);
    };
    // Search with the write-ahead log, and again after it has been merged into the database.
    await search();
    const backup = POSTGRES ? [] : [await runCommand(['backup', join(dataDir, 'copy.db')], { dataDir })];
    const listed = await runCommand(['keys', 'list', '--json'], { dataDir });
    const verified = await runCommand(['seal', 'verify'], { dataDir });
    for (const { code, stdout, stderr } of [...backup, listed, verified]) {
      expect(code).toBe(0);
      expectNoSecret('a command', stdout + stderr);
    }
    await app.stop();
    await search();
    expect(app.output()).toContain(CLUSTERS);
    expect(app.output()).not.toMatch(/"level":[56]0/);
    expectNoSecret('the log', app.output());
  });

  it('passwords, session tokens and the setup code never appear outside their own place', {
    timeout: atLoad(120_000),
  }, async () => {
    const dataDir = await temporaryDirectory();
    const environment = { HOST: '0.0.0.0', SEAL_KEY: base64('x'.repeat(32)), ADMIN_API_KEY: KEY, LOG_LEVEL: 'debug' };
    const app = await startProcess({ dataDir, environment });
    const code = (await readFile(join(dataDir, 'setup-code'), 'utf8')).trim();
    const password = `${CANARY} horse`;
    const username = 'ada';
    const found: string[] = [];
    const post = async (path: string, body: object, headers: Record<string, string> = {}) => {
      const response = await fetch(`${app.url}${path}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
      const text = await response.text();
      const [, token] = /^auth_token=([^;]+)/.exec(response.headers.getSetCookie()[0] ?? '') ?? [];
      if (token) found.push(token);
      const headersBesides = [...response.headers].filter(([name]) => name !== 'set-cookie');
      search(`the answer to ${path}`, text + JSON.stringify(headersBesides));
      return response.status;
    };
    const search = (where: string, bytes: Buffer | string) =>
      expectNoSecret(where, bytes, [...SPELLINGS, code, ...found]);

    const first = '/api/v1/admin/users/create_super_user';
    const login = '/api/auth/login/password';
    expect(await post(first, { username, password })).toBe(403);
    expect(await post(first, { username, password, code: `${CANARY}${code}` })).toBe(403);
    expect(await post(first, { username, password: 'short', code })).toBe(400);
    expect(await post(first, { username: `${CANARY} with a space`, password, code })).toBe(400);
    expect(await post(first, { username, password: [password], code })).toBe(400);
    expect(await post(first, { username, password, code })).toBe(201);
    expect(await post(first, { username, password, code })).toBe(403);
    for (const body of [
      { username, password: `${password}!` },
      { username: CANARY, password },
      { username: password, password: username },
    ])
      expect(await post(login, body)).toBe(401);
    expect(await post(login, { username: password, password: [password] })).toBe(400);
    expect(await post(login, { username, password })).toBe(204);
    const Cookie = `auth_token=${found.at(-1)}`;
    expect(await post('/api/auth/refresh', {}, { Cookie })).toBe(200);
    for (const path of [`/api/auth/user?token=${CANARY}`, CLUSTERS, '/graphql?query={viewer{name}}'])
      expect((await requestAndSearch(app, 'GET', path, undefined, { Authorization: '', Cookie })).status).toBe(200);
    await graphql(app, CREATE_USER, { input: { username: 'grace', password, roles: ['viewer'] } });
    await graphql(app, CREATE_USER, { input: { username: 'grace', password, roles: ['viewer'] } });
    await graphql(app, CREATE_USER, { input: { username: 'b', password: CANARY.slice(0, 3), roles: ['none'] } });
    await graphql(app, UPDATE_USER, { input: { username: 'grace', password: `${password} again` } });
    await graphql(app, UPDATE_USER, { input: { username: 'grace', password: `${CANARY}\u0000` } });
    expect(found.length).toBeGreaterThan(1);
    expect(await post('/api/auth/logout', {}, { Cookie })).toBe(200);
    expect((await requestAndSearch(app, 'GET', '/metrics')).status).toBe(200);

    const exported = await runCommand(['audit', 'export'], { dataDir, environment });
    const listed = await runCommand(['users', 'list'], { dataDir, environment });
    for (const { code, stdout, stderr } of [exported, listed]) {
      expect(code).toBe(0);
      search('a command', stdout + stderr);
    }
    expect(exported.stdout).toContain('user.create');
    await searchFiles(dataDir, search, ['setup-code']);
    await app.stop();
    await searchFiles(dataDir, search, ['setup-code']);
    expect(app.output()).toContain('/api/auth/login/password');
    expect(app.output()).not.toMatch(/"level":[56]0/);
    search('the log', app.output());
  });

  it('the OpenID Connect client secret is sent only to the provider', { timeout: atLoad(60_000) }, async () => {
    const provider = await startOpenIdProvider();
    onTestFinished(() => provider.stop());
    const dataDir = await temporaryDirectory();
    const environment = { ...provider.environment, ADMIN_API_KEY: KEY, LOG_LEVEL: 'debug' };
    const app = await startProcess({ dataDir, environment });
    const browser = new Browser();
    provider.user = { sub: 'ada', preferred_username: 'ada', groups: ['platform'] };
    const begun = await browser.get(`${app.url}/api/auth/login`);
    const { auth_url } = JSON.parse(begun.text);
    const query = await browser.signInAtProvider(auth_url);
    const returned = await browser.get(`${app.url}/api/auth/callback${query}`);
    expect([returned.status, browser.cookies(app.url).has('auth_token')]).toEqual([302, true]);
    const again = await browser.get(`${app.url}/api/auth/callback${query}`);
    const asked = new URLSearchParams(query);
    // Code and state are valid once and are part of the URL that the browser is sent to.
    const secrets = [CLIENT_SECRET, ...withinBase64(CLIENT_SECRET), browser.cookies(app.url).get('auth_token') ?? '-'];
    const passing = [asked.get('code') ?? '-', asked.get('state') ?? '-'];
    for (const { text, location } of [begun, returned, again])
      expectNoSecret('an answer', `${text} ${location}`, secrets);
    await searchFiles(dataDir, (where, bytes) => expectNoSecret(where, bytes, [...secrets, ...passing]), []);
    await app.stop();
    expect(app.output()).toContain('/api/auth/callback');
    expectNoSecret('the log', app.output(), [...secrets, ...passing]);
  });

  it('no message of a failed or successful start contains a secret', async () => {
    for (const environment of [
      { ADMIN_API_KEY: CANARY },
      { ADMIN_API_KEY: `kite0-${CANARY}` },
      { SEAL_KEY: CANARY },
      { SEAL_KEY: `${base64(CANARY.padEnd(32))},${CANARY}` },
      { DATABASE_URL: `postgresql://kite:${CANARY}@db/kite` },
      { ALLOWED_ORIGINS: `https://user:${CANARY}@example.com` },
      { TRUSTED_PROXIES: CANARY },
      { OIDC_ISSUER: 'no URL', OIDC_CLIENT_ID: 'kitestring', OIDC_CLIENT_SECRET: CANARY },
      { OIDC_CLIENT_SECRET: CANARY },
    ] as Record<string, string>[]) {
      const { code, stdout, stderr } = await failToStart({ dataDir: await temporaryDirectory(), environment });
      expect(code).toBe(1);
      expectNoSecret(JSON.stringify(Object.keys(environment)), stdout + stderr);
    }
  });
});
