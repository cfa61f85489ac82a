import { execFile } from 'node:child_process';
import { copyFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { beforeEach, expect, it } from 'vitest';
import { CLUSTERS } from './support/app.ts';
import { describeOnSqlite } from './support/database.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { firstKey, type Running, startProcess } from './support/process.ts';

let dataDir: string;
let file: string;
let app: Running;
let key: string;
let names = 0;

beforeEach(async () => {
  dataDir = await temporaryDirectory();
  file = join(dataDir, 'kitestring.db');
  app = await startProcess({ dataDir });
  key = await firstKey(dataDir);
  expect((await create()).status).toBe(201);
});

interface TestResponse {
  readonly status: number;
  readonly body: {
    readonly error?: string;
    readonly status?: string;
    readonly errors?: readonly { message: string; extensions: { code: string } }[];
  };
}

async function sendRequest(method: string, path: string, body?: object): Promise<TestResponse> {
  const response = await fetch(`${app.url}${path}`, {
    ...{ method, headers: { Authorization: key, 'Content-Type': 'application/json' } },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: response.status, body: (await response.json()) as TestResponse['body'] };
}

const create = (description = '') =>
  sendRequest('POST', CLUSTERS, { name: `cluster ${++names}`, description, config: kubeconfig() });
const rename1 = (name: string) =>
  sendRequest('POST', '/graphql', {
    query: `mutation ($name: String!) { updateCluster(input: { by: { databaseId: 1 }, description: $name }) { __typename } }`,
    variables: { name },
  });
const list = () => sendRequest('GET', CLUSTERS);
const ready = () => sendRequest('GET', '/readyz');

/**
 * Expects that writes are refused over REST and GraphQL, with a sentence and without a stack, and that /readyz fails.
 */
async function expectUnavailable(description?: string): Promise<void> {
  const [rest, graphql, readiness] = await Promise.all([create(description), rename1(description ?? 'x'), ready()]);
  expect(rest).toMatchObject({ status: 503, body: { error: expect.stringMatching(/^The database cannot be used/) } });
  expect(graphql.body.errors).toMatchObject([
    { message: expect.stringMatching(/^The database cannot be used/), extensions: { code: 'UNAVAILABLE' } },
  ]);
  expect(JSON.stringify(graphql.body)).not.toMatch(/ at |\.ts|SQLITE|prisma/i);
  expect(readiness).toEqual({ status: 503, body: { status: 'unavailable' } });
}

/** Expects that without intervention refused operations succeed again, and that none of them was applied earlier. */
async function expectRecovered(clusters: number): Promise<void> {
  await expect.poll(async () => (await ready()).status, { timeout: 10_000 }).toBe(200);
  // Each message is logged once, however many requests fail.
  await expect.poll(() => app.output().match(/the database is (?:not available|available again)/g)).toHaveLength(2);
  expect((await create()).status).toBe(201);
  expect((await rename1('works again')).body.errors).toBeUndefined();
  expect((await list()).body).toHaveLength(clusters + 1);
  expect(app.output()).not.toContain('a request failed');
  expect((await app.stop()).code).toBe(0);
  const database = new DatabaseSync(file);
  expect(database.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }]);
  expect(database.prepare('SELECT name FROM Cluster').all()).toHaveLength(clusters + 1);
  database.close();
}

/** The server may be storing the state of its first probe when the test locks the database. */
const WAITING = { timeout: 5_000 };

describeOnSqlite('an unavailable database', () => {
  it('while another process holds the database too long, writes are refused and reads continue; it recovers without intervention', async () => {
    const other = new DatabaseSync(file, WAITING);
    other.exec('BEGIN IMMEDIATE');
    const refused = expectUnavailable();
    expect(await list()).toMatchObject({ status: 200, body: [{ id: 1 }] });
    await refused;
    other.exec('ROLLBACK');
    other.close();
    await expectRecovered(1);
  });

  it('while another process holds the database for a moment, writes wait and succeed', async () => {
    const other = new DatabaseSync(file, WAITING);
    other.exec('BEGIN IMMEDIATE');
    const writing = Promise.all([create(), create()]);
    await list();
    other.exec('ROLLBACK');
    other.close();
    expect((await writing).map(({ status }) => status)).toEqual([201, 201]);
  });

  it('on a full disk, writes are refused and reads continue; the database recovers without intervention', async () => {
    const limitFile = (bytes: number | 'unlimited') =>
      promisify(execFile)('prlimit', ['--pid', String(app.pid), `--fsize=${bytes}:`]);
    // Not the present size: the write-ahead log is reused from its beginning.
    await limitFile(1);
    await expectUnavailable('x'.repeat(10_000));
    await expectUnavailable();
    expect(await list()).toMatchObject({ status: 200, body: [{ id: 1 }] });
    await limitFile('unlimited');
    await expectRecovered(1);
  });

  it('while the file of the database is missing, no write is acknowledged that would be lost; it recovers when the file is back', async () => {
    await rename(file, `${file}.elsewhere`);
    await expectUnavailable();
    // Nor while another file has taken its place.
    await copyFile(`${file}.elsewhere`, file);
    await expectUnavailable();
    await rename(`${file}.elsewhere`, file);
    await expectRecovered(1);
  });
});
