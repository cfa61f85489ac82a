import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { describe, expect, it, vi } from 'vitest';
import { COPIED, copyInto } from '../src/storage/copy.ts';
import { Prisma } from '../src/storage/generated/sqlite/client.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import { setUp } from '../src/storage/postgres/pool.ts';
import { readPostgresUrl } from '../src/storage/postgres/url.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { rowsOf } from './support/database.ts';
import { databaseOf, POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { launchCommand, runCommand, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

/** Settings that keep a server on a file, even if the suite runs on PostgreSQL. */
const ON_FILE = { DATABASE_URL: '', SEAL_KEY: '' };
const PASSWORD = 'a long enough password';

it('every model is copied, except for those that the target creates itself', () => {
  expect([...COPIED, 'Counter', 'ProbeLease', 'Replica'].sort()).toEqual(Object.values(Prisma.ModelName).sort());
});

/** A registry in a file with at least one row of every kind, and a database to copy it to. */
async function makeRegistry() {
  const dataDir = await temporaryDirectory();
  const app = await startApp({ DATA_DIR: dataDir, ...ON_FILE });
  for (const name of ['one', 'two', 'gone'])
    expect((await app.rest('POST', CLUSTERS, { name, config: kubeconfig(), isDefault: name === 'one' })).status).toBe(
      201,
    );
  expect((await app.rest('DELETE', `${CLUSTERS}3`)).status).toBe(200);
  const { data } = await app.graphql(`mutation {
    updateCluster(input: { by: { name: "two" }, labels: [{ key: "env", value: "prod" }, { key: "rank", value: "7" }] }) { __typename }
    createUser(input: { username: "ada", password: "${PASSWORD}", roles: ["viewer"] }) { __typename }
    defineRole(input: { name: "staging", actions: [CLUSTERS_READ], clusters: { names: ["t*"] } }) { __typename }
  }`);
  expect(JSON.stringify(data)).not.toContain('Error');
  const signedInUser = await app.rest('POST', '/api/auth/login/password', { username: 'ada', password: PASSWORD }, {});
  const [cookie = ''] = signedInUser.headers.getSetCookie();
  const url = databaseOf(join(dataDir, 'copy')).DATABASE_URL ?? '';
  return { app, dataDir, url, cookie: cookie.split(';')[0] as string };
}

const everything = async (app: TestApp, cookie: string) => [
  (await app.rest('GET', CLUSTERS)).body,
  (await app.graphql('{ clusters { nodes { id name revision createdAt labels { key value } credential { kind } } } }'))
    .data,
  (await app.graphql('{ users { id username roles } roles { name actions } }')).data,
  (await app.rest('GET', '/api/auth/user', undefined, { Cookie: cookie })).body,
];

const auditRow = (at: number) => ({
  at: new Date(Date.UTC(2026, 0, 1, 0, 0, 0, at)),
  actor: 'command line',
  action: 'test',
  changes: { zz: { from: at, to: null }, a: '🙂' },
});

const countOf = async (dataDir: string, table: string) =>
  Number((await rowsOf(dataDir, `SELECT count(*)::int AS rows FROM "${table}"`))[0]?.rows);

function countInFile(file: string, table: string): number {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return Number(database.prepare(`SELECT count(*) AS rows FROM "${table}"`).get()?.rows);
  } finally {
    database.close();
  }
}

describe.runIf(POSTGRES !== undefined)('copy', () => {
  it('copies every row, and ids continue where those of the file ended', async () => {
    const { app, dataDir, url, cookie } = await makeRegistry();
    const before = await everything(app, cookie);
    expect(JSON.stringify(before)).toContain('"ada"');
    await app.close();
    const another = { ...ON_FILE, SEAL_KEY: Buffer.alloc(32, 9).toString('base64') };
    const refused = await runCommand(['copy', '--to', url], { dataDir, environment: another });
    expect(refused).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/which SEAL_KEY does not have/),
    });
    const copied = await runCommand(['copy', '--to', url], { dataDir, environment: ON_FILE });
    expect(copied).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Copied 2 clusters, \d+ rows in all/) });
    expect(copied.stderr).toContain('AuditRecord: ');

    const environment = { DATABASE_URL: url, SEAL_KEY: '', SEAL_KEY_FILE: join(dataDir, 'seal-keys') };
    const verified = await runCommand(['seal', 'verify'], { dataDir: await temporaryDirectory(), environment });
    expect(verified).toMatchObject({ code: 0, stdout: '2 of 2 sealed kubeconfigs open.\n' });
    const moved = await startApp({ DATA_DIR: await temporaryDirectory(), ...environment });
    onTestFinished(() => moved.close());
    expect(await everything({ ...moved, admin: app.admin }, cookie)).toEqual(before);
    expect((await moved.rest('GET', CLUSTERS, undefined, { Authorization: app.admin })).status).toBe(200);
    // The id of a deleted cluster is not reused.
    expect((await moved.rest('POST', CLUSTERS, { name: 'next', config: kubeconfig() })).body.id).toBe(4);
  });

  it('copies more rows than one batch, and leaves nothing when it is killed halfway', async () => {
    const { app, dataDir, url } = await makeRegistry();
    await app.close();
    const file = await openDatabase({ file: join(dataDir, 'kitestring.db') });
    await file.prisma.auditRecord.createMany({ data: Array.from({ length: 1_100 }, (_, at) => auditRow(at)) });
    await file.prisma.auditRecord.delete({ where: { id: 1_000 } });
    await file.prisma.clusterLabel.createMany({
      data: Array.from({ length: 501 }, (_, at) => ({
        clusterId: 1,
        key: `k${at}`,
        value: 'ø"\\\n',
        number: 2n ** 62n,
      })),
    });
    await file.close();
    const copyDir = join(dataDir, 'copy');
    await (await openDatabase({ url })).close();
    const place = readPostgresUrl(url);
    const locking = new Client(place.client);
    await locking.connect();
    onTestFinished(() => locking.end());
    await setUp(locking, place);
    await locking.query('SET idle_in_transaction_session_timeout = 0');
    await locking.query('BEGIN; LOCK TABLE "AuditRecord" IN SHARE MODE');
    const killed = launchCommand(['copy', '--to', url], { dataDir, environment: ON_FILE });
    const waiting = async () =>
      rowsOf(copyDir, `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '"AuditRecord"'::regclass`);
    await vi.waitFor(async () => expect(await waiting()).toHaveLength(1), { timeout: 20_000, interval: 50 });
    killed.kill('SIGKILL');
    await killed.ended;
    await locking.query('COMMIT');
    const left = async () =>
      [
        await countOf(copyDir, 'Cluster'),
        await countOf(copyDir, 'ApiKey'),
        await countOf(copyDir, 'AuditRecord'),
      ].join();
    await vi.waitFor(async () => expect(await waiting()).toEqual([]));
    expect(await left()).toBe('0,0,0');
    expect(await rowsOf(copyDir, 'SELECT 1 FROM "Counter" WHERE "value" > 0')).toEqual([]);

    const copied = await runCommand(['copy', '--to', url], { dataDir, environment: ON_FILE });
    expect(copied).toMatchObject({ code: 0 });
    for (const table of ['AuditRecord', 'ApiKey', 'ClusterLabel', 'Session'])
      expect(await rowsOf(copyDir, `SELECT * FROM "${table}" ORDER BY 1, 2`)).toHaveLength(
        countInFile(join(dataDir, 'kitestring.db'), table),
      );
    expect(await rowsOf(copyDir, 'SELECT 1 FROM "ApiKey" WHERE "scopes" IS NULL')).not.toEqual([]);
    expect(await rowsOf(copyDir, 'SELECT 1 FROM "ClusterLabel" WHERE "number" = 4611686018427387904')).toHaveLength(
      501,
    );
    const again = await runCommand(['copy', '--to', url], { dataDir, environment: ON_FILE });
    expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/is not empty/)]);
  });

  it('ignores replicas that are registered meanwhile: their rows are not copied and do not block the copy', async () => {
    const { app, dataDir, url } = await makeRegistry();
    await app.domain.database.prisma.replica.create({ data: { id: 'of the file', roundFinishedAt: new Date() } });
    await app.close();
    const source = await openDatabase({ file: join(dataDir, 'kitestring.db') });
    const target = await openDatabase({ url });
    const beating: Promise<unknown>[] = [];
    const beat = () => beating.push(target.leases?.heartbeat(`r${beating.length}`, new Map()) ?? Promise.reject());
    beat();
    const counts = await copyInto(target, source, beat);
    await Promise.all(beating);
    expect([counts.get('Cluster'), beating.length]).toEqual([2, COPIED.length + 1]);
    expect(await target.prisma.replica.findMany({ where: { expiresAt: null } })).toEqual([]);
    await Promise.all([source.close(), target.close()]);
  });

  it('refuses a database that has content, and one that a server has open', async () => {
    const { app, dataDir, url } = await makeRegistry();
    const server = await startProcess({ dataDir, environment: ON_FILE });
    const whileOpen = await runCommand(['copy', '--to', url], { dataDir, environment: ON_FILE });
    expect([whileOpen.code, whileOpen.stdout, whileOpen.stderr]).toEqual([
      1,
      '',
      expect.stringMatching(/^A server has/),
    ]);
    await server.stop();
    await app.close();

    const other = await startApp({ DATA_DIR: await temporaryDirectory() });
    onTestFinished(() => other.close());
    const taken = databaseOf(other.dataDir).DATABASE_URL ?? '';
    const rows = () => rowsOf(other.dataDir, 'SELECT * FROM "ApiKey" ORDER BY "id"');
    const before = await rows();
    const environment = { DATABASE_URL: taken, SEAL_KEY: '', SEAL_KEY_FILE: join(dataDir, 'seal-keys') };
    const refused = await runCommand(['copy'], { dataDir, environment });
    expect([refused.code, refused.stdout, refused.stderr]).toEqual([1, '', expect.stringMatching(/is not empty/)]);
    expect(await rows()).toEqual(before);
  });
});
