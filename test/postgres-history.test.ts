import { describe, expect, it, onTestFinished } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { rowsOf, whileCountersFail, whileReadOnly } from './support/database.ts';
import { databaseOf, POSTGRES } from './support/database-location.ts';
import { follow } from './support/followed-changes.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { freshApp } from './support/wire.ts';

const NAME = 'kitestring cut off';

/** A replica whose connection for the counters a test can break, over a registry with one cluster; and a key that it knows. */
async function replica() {
  const { dataDir } = await freshApp();
  const { DATABASE_URL = '' } = databaseOf(dataDir);
  const url = new URL(DATABASE_URL);
  url.searchParams.set('application_name', `${NAME} ${process.pid}`);
  const app = await startApp({ DATA_DIR: dataDir, DATABASE_URL: url.href });
  onTestFinished(() => app.close());
  await app.rest('POST', CLUSTERS, { name: 'one', config: kubeconfig(), enabled: false });
  const made = { name: 'made', roles: ['admin'] };
  const { id, text } = await app.domain.apiKeys.create(systemCaller('command line'), made);
  const headers = { Authorization: text };
  expect((await app.rest('GET', CLUSTERS, undefined, headers)).status).toBe(200);
  return { app, id, headers };
}

/** Breaks the connection that the counters are read over. */
async function cut({ dataDir }: TestApp): Promise<void> {
  const broken = await rowsOf(
    dataDir,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ? AND query LIKE '%float8%'`,
    `${NAME} ${process.pid}`,
  );
  expect(broken).toHaveLength(1);
}

const ask = (app: TestApp, headers: Record<string, string>) => app.rest('GET', CLUSTERS, undefined, headers);

/** As a failover leaves it that lost a change, after which another came by the same number. */
const revokePast = ({ dataDir }: TestApp, id: number) =>
  rowsOf(dataDir, 'UPDATE "ApiKey" SET "disabled" = true WHERE "id" = ?', id);

describe.runIf(POSTGRES !== undefined)('a database that lost commits', () => {
  it('brings back no key that was revoked under a number that was seen before', async () => {
    const { app, id, headers } = await replica();
    await revokePast(app, id);
    await cut(app);
    await expect.poll(async () => (await ask(app, headers)).status).toBe(401);
  });

  it('shows no answer that is older than it, and lets readers of changes list again', async () => {
    const { app, headers } = await replica();
    const { told } = await follow(app, headers);
    // The third is answered with what the second kept.
    for (let time = 0; time < 3; time++) expect((await app.rest('GET', CLUSTERS)).status).toBe(200);
    const seen = await app.domain.database.counters();
    await rowsOf(app.dataDir, `UPDATE "Counter" SET "value" = "value" - 1 WHERE "name" = 'registry'`);
    await rowsOf(app.dataDir, `UPDATE "Cluster" SET "description" = 'put back'`);
    const counters = await app.domain.database.counters();
    expect(counters.registry).toBeGreaterThan(seen.registry);
    expect((await app.rest('GET', CLUSTERS)).body).toEqual([expect.objectContaining({ description: 'put back' })]);
    await expect.poll(told, { timeout: 2_000 }).toEqual(['reset']);
  });

  it('is passed at the next look where that fails once', async () => {
    const { app, id, headers } = await replica();
    await revokePast(app, id);
    await whileCountersFail(app.domain.database, async () => {
      await cut(app);
      await expect.poll(async () => (await ask(app, headers)).status).toBe(500);
    });
    expect((await ask(app, headers)).status).toBe(401);
  });

  it('is read while it takes no change, and passed as soon as it does', async () => {
    const { app, id, headers } = await replica();
    await whileReadOnly(app.domain.database, async () => {
      await cut(app);
      await expect.poll(async () => (await ask(app, headers)).status).toBe(200);
    });
    await revokePast(app, id);
    expect((await ask(app, headers)).status).toBe(401);
  });
});
