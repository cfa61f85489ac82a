import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { follow } from './support/followed-changes.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { postgresPrograms, startPostgres } from './support/postgres-server.ts';
import { runCommand, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

const programs = POSTGRES === undefined ? undefined : await postgresPrograms();
const run = promisify(execFile);
const SEAL_KEY = Buffer.alloc(32, 7).toString('base64');

const add = async (app: TestApp, name: string) =>
  (await app.rest('POST', CLUSTERS, { name, config: kubeconfig(), enabled: false })).body.id as number;
const names = async (app: TestApp) =>
  (await app.rest('GET', CLUSTERS)).body.map(({ name }: { name: string }) => name) as string[];
const place = async (app: TestApp) =>
  (await app.graphql('{ clusters { changesCursor nodes { name revision } } }')).data.clusters;
const update = async (app: TestApp, expectedRevision: number) =>
  (
    await app.graphql(
      `mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) { __typename ... on Error { code } } }`,
      { input: { by: { name: 'kept' }, expectedRevision, description: `after ${expectedRevision}` } },
    )
  ).data.updateCluster;

/** A server over a database that was dumped by pg_dump, changed, and restored. */
async function restoreOlderDump() {
  const server = await startPostgres();
  onTestFinished(() => server.remove());
  const dataDir = await temporaryDirectory();
  const environment = { DATA_DIR: dataDir, DATABASE_URL: server.url, SEAL_KEY };
  const app = await startApp(environment);
  await add(app, 'kept');
  const backup = join(dataDir, 'backup');
  await run(join(programs ?? '', 'pg_dump'), ['-Fc', '-f', backup, server.url]);
  const lost = await add(app, 'lost');
  await update(app, 1);
  const key = await app.domain.apiKeys.create(systemCaller('command line'), { name: 'lost', roles: ['viewer'] });
  const { changesCursor, nodes } = await place(app);
  const counters = await app.domain.database.counters();
  await app.close();
  await run(join(programs ?? '', 'pg_restore'), ['--clean', '--if-exists', '-d', server.url, backup]);
  return { environment, server, dataDir, lost, key, changesCursor, counters, revision: nodes[0].revision as number };
}

describe.runIf(programs !== undefined)('the recovered command', () => {
  it('continues beyond every number that was issued before pg_restore', async () => {
    const before = await restoreOlderDump();
    const { environment, dataDir } = before;
    const done = await runCommand(['recovered'], { dataDir, environment });
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^1 clusters are ready for use. \d+ API keys/),
    });
    const app = await startApp(environment);
    onTestFinished(() => app.close());
    expect(await names(app)).toEqual(['kept']);
    const counters = await app.domain.database.counters();
    for (const name of ['registry', 'status', 'access'] as const)
      expect(counters[name]).toBeGreaterThan(before.counters[name]);
    // Cursors, revisions and ids from the lost history are not mistaken for current ones.
    const { events } = await follow(app, { Authorization: app.admin }, before.changesCursor);
    await expect.poll(events).toContain('reset');
    expect((await update(app, before.revision)).code).toBe('REVISION_CONFLICT');
    expect(await add(app, 'next')).toBeGreaterThan(before.lost);
    const key = await app.domain.apiKeys.create(systemCaller('command line'), { name: 'next', roles: ['viewer'] });
    expect(key.id).toBeGreaterThan(before.key.id);
    const client = new Client({ connectionString: before.server.url });
    await client.connect();
    const { rows } = await client.query(`SELECT min("fence") AS fence FROM "ProbeLease"`);
    const audited = await client.query(`SELECT 1 FROM "AuditRecord" WHERE "action" = 'database.recover'`);
    await client.end();
    expect([Number(rows[0].fence) >= 1_000_000, audited.rowCount]).toEqual([true, 1]);
  });

  it('is refused while a server uses the database', async () => {
    const server = await startPostgres();
    onTestFinished(() => server.remove());
    const dataDir = await temporaryDirectory();
    const environment = { DATABASE_URL: server.url, SEAL_KEY };
    const app = await startProcess({ dataDir, environment });
    const client = new Client({ connectionString: server.url });
    await client.connect();
    onTestFinished(() => client.end());
    const present = async () => (await client.query('SELECT 1 FROM "Replica" WHERE "expiresAt" IS NOT NULL')).rowCount;
    await expect.poll(present).toBe(1);
    const refused = await runCommand(['recovered'], { dataDir, environment });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/^A server uses the database: stop /)]);
    await app.stop();
    expect((await runCommand(['recovered'], { dataDir, environment })).code).toBe(0);
  });

  it('is refused if the registry is a file', async () => {
    const refused = await runCommand(['recovered'], {
      dataDir: await temporaryDirectory(),
      environment: { DATABASE_URL: '', SEAL_KEY: '' },
    });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/restore does this by itself/)]);
  });
});
