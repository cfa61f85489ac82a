import { describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { rowsOf, whileCountersFail, whileReadOnly } from './support/database.ts';
import { databaseOf, POSTGRES } from './support/database-location.ts';
import { follow } from './support/followed-changes.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';
import { freshApp } from './support/wire.ts';

const NAME = 'kitestring cut off';

/**
 * A replica over a registry with one cluster, and a key that the replica knows. A test can break the replica's
 * connection for the counters.
 */
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

/** Breaks the connection that reads the counters. */
async function cut({ dataDir }: TestApp): Promise<void> {
  const broken = await rowsOf(
    dataDir,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ? AND query LIKE '%float8%'`,
    `${NAME} ${process.pid}`,
  );
  expect(broken).toHaveLength(1);
}

const sendRequest = (app: TestApp, headers: Record<string, string>) => app.rest('GET', CLUSTERS, undefined, headers);

/** Simulates a failover that lost a change, after which another change got the same number. */
const revokePast = ({ dataDir }: TestApp, id: number) =>
  rowsOf(dataDir, 'UPDATE "ApiKey" SET "disabled" = true WHERE "id" = ?', id);

describe.runIf(POSTGRES !== undefined)('a database that lost commits', () => {
  it('a key that was revoked under a number seen before stays revoked', async () => {
    const { app, id, headers } = await replica();
    await revokePast(app, id);
    await cut(app);
    await expect.poll(async () => (await sendRequest(app, headers)).status).toBe(401);
  });

  it('no response from before the loss is shown, and readers of changes are events to list again', async () => {
    const { app, headers } = await replica();
    const { events } = await follow(app, headers);
    // The third request gets the response cached by the second.
    for (let time = 0; time < 3; time++) expect((await app.rest('GET', CLUSTERS)).status).toBe(200);
    const seen = await app.domain.database.counters();
    await rowsOf(app.dataDir, `UPDATE "Counter" SET "value" = "value" - 1 WHERE "name" = 'registry'`);
    await rowsOf(app.dataDir, `UPDATE "Cluster" SET "description" = 'put back'`);
    const counters = await app.domain.database.counters();
    expect(counters.registry).toBeGreaterThan(seen.registry);
    expect((await app.rest('GET', CLUSTERS)).body).toEqual([expect.objectContaining({ description: 'put back' })]);
    await expect.poll(events, { timeout: atLoad(2_000) }).toEqual(['reset']);
  });

  it('lost history is advanced past at the next check if the first attempt fails', async () => {
    const { app, id, headers } = await replica();
    await revokePast(app, id);
    await whileCountersFail(app.domain.database, async () => {
      await cut(app);
      await expect.poll(async () => (await sendRequest(app, headers)).status).toBe(500);
    });
    expect((await sendRequest(app, headers)).status).toBe(401);
  });

  it('a database with lost history is readable while it is read-only, and is advanced past the loss once it is writable', async () => {
    const { app, id, headers } = await replica();
    await whileReadOnly(app.domain.database, async () => {
      await cut(app);
      await expect.poll(async () => (await sendRequest(app, headers)).status).toBe(200);
    });
    await revokePast(app, id);
    expect((await sendRequest(app, headers)).status).toBe(401);
  });
});
