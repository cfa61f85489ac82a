import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CLUSTERS } from './support/app.ts';
import { openChanges } from './support/changes.ts';
import { POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { reportLeftOut } from './support/left-out.ts';
import { atLoad } from './support/load.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from './support/postgres-server.ts';
import { firstKey, type Running, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

/** The test needs its own server, because it makes it fail. */
const isThere = POSTGRES !== undefined && (await postgresPrograms()) !== undefined;
if (POSTGRES !== undefined && !isThere) reportLeftOut('faults of PostgreSQL, which is not installed here');

const SEAL_KEY = Buffer.alloc(32, 7).toString('base64');
/**
 * The longest wait of a caller while the database is silent: 10 s for a response, 5 s for a connection, and a margin
 * for a busy machine.
 */
const SILENCE_MS = 30_000;

interface TestResponse {
  readonly status: number;
  readonly body: {
    readonly id?: number;
    readonly error?: string;
    readonly status?: string;
    readonly name?: string;
  }[] & {
    readonly id?: number;
    readonly error?: string;
  };
}

let server: PostgresServer;
let url: string;
let replicas: Running[];
let key: string;
let names = 0;

async function sql(text: string, database = url) {
  const client = new Client({ connectionString: database });
  await client.connect();
  return client.query(text).finally(() => client.end());
}

async function sendRequest(app: Running, method: string, path: string, body?: object): Promise<TestResponse> {
  const response = await fetch(`${app.url}${path}`, {
    ...{ method, headers: { Authorization: key, 'Content-Type': 'application/json' } },
    ...(body ? { body: JSON.stringify(body) } : {}),
    signal: AbortSignal.timeout(SILENCE_MS),
  });
  return { status: response.status, body: (await response.json()) as TestResponse['body'] };
}

const create = (app: Running, name = `cluster ${++names}`) =>
  sendRequest(app, 'POST', CLUSTERS, { name, config: kubeconfig(), enabled: false });
const list = (app: Running) => sendRequest(app, 'GET', CLUSTERS);
const ready = (app: Running) => sendRequest(app, 'GET', '/readyz');

async function expectRefused(refusal: Promise<TestResponse>): Promise<void> {
  const { status, body } = await refusal;
  expect([status, body.error]).toEqual([503, expect.stringMatching(/^The database cannot be used/)]);
  expect(body.error).not.toMatch(/127\.0\.0\.1|postgres|prisma| at /i);
}

/** Without intervention each replica works again, and all of them show the same. */
async function expectRecovered(acknowledged: readonly string[]): Promise<void> {
  for (const app of replicas) {
    await expect.poll(async () => (await ready(app)).status, { timeout: SILENCE_MS }).toBe(200);
    expect((await create(app, `after ${++names}`)).status).toBe(201);
  }
  const [first = [], ...others] = await Promise.all(
    replicas.map(async (app) => (await list(app)).body.map(({ name }) => name)),
  );
  for (const other of others) expect(other).toEqual(first);
  expect(first).toEqual(expect.arrayContaining([...acknowledged]));
  for (const app of replicas) expect(app.output()).not.toContain('a request failed');
}

/** Writes on every replica until `stop` is called; `stop` returns the names of the acknowledged clusters. */
function writeOn(): () => Promise<string[]> {
  let writing = true;
  const acknowledged: string[] = [];
  const writers = replicas.flatMap((app) =>
    [1, 2].map(async () => {
      while (writing && replicas.includes(app)) {
        const name = `cluster ${++names}`;
        // A killed replica does not answer.
        const answer = await create(app, name).catch(() => undefined);
        if (answer?.status === 201) acknowledged.push(name);
        else expect(answer?.status ?? 503).toBe(503);
      }
    }),
  );
  return async () => {
    writing = false;
    await Promise.all(writers);
    return acknowledged;
  };
}

/** Pauses or resumes every process of the server, to simulate a machine that stands still. */
function signalAll(signal: NodeJS.Signals): void {
  for (const entry of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(entry)) continue;
    try {
      const [, parent] = /\) \S (\d+)/.exec(readFileSync(`/proc/${entry}/stat`, 'utf8')) ?? [];
      if (Number(parent) === server.pid) process.kill(Number(entry), signal);
    } catch {
      // The process has exited in the meantime.
    }
  }
  process.kill(server.pid, signal);
}

describe.runIf(isThere)('replicas over a failing PostgreSQL', { timeout: atLoad(120_000) }, () => {
  beforeAll(async () => {
    server = await startPostgres(['max_connections=40']);
  });
  afterAll(() => server.remove());
  beforeEach(async () => {
    await server.end();
    await server.start();
    const name = `kite_${randomUUID().replaceAll('-', '')}`;
    await sql(`CREATE DATABASE ${name}`, server.url);
    url = server.url.replace(/postgres$/, name);
    const dataDirs = await Promise.all([temporaryDirectory(), temporaryDirectory()]);
    const environment = { DATABASE_URL: url, SEAL_KEY };
    replicas = [];
    for (const dataDir of dataDirs) replicas.push(await startProcess({ dataDir, environment }));
    key = await firstKey(dataDirs[0] as string);
    expect((await create(replicas[0] as Running, 'first')).status).toBe(201);
  });

  it('replicas keep every acknowledged change and resume streams when PostgreSQL restarts under load', async () => {
    const changes = await openChanges(replicas[1] as Running, key);
    const stop = writeOn();
    for (let restart = 0; restart < 3; restart++) {
      const before = names;
      await expect.poll(() => names, { timeout: SILENCE_MS }).toBeGreaterThan(before + 5);
      await server.end(restart === 1 ? 'SIGQUIT' : 'SIGINT');
      await server.start();
      await expect.poll(async () => (await ready(replicas[0] as Running)).status, { timeout: SILENCE_MS }).toBe(200);
    }
    await expectRecovered(await stop());
    const { name } = { name: `heard ${++names}` };
    expect((await create(replicas[0] as Running, name)).status).toBe(201);
    const changesUntil = await changes.until(({ cluster }) => cluster?.name === name);
    expect(changesUntil.at(-1)?.cluster?.name).toBe(name);
  });

  it('while PostgreSQL is down, every route refuses at once and /readyz is not ready; all recover without intervention', async () => {
    await server.end();
    for (const app of replicas) {
      await expectRefused(list(app));
      await expectRefused(create(app));
      expect(await ready(app)).toEqual({ status: 503, body: { status: 'unavailable' } });
      expect((await sendRequest(app, 'GET', '/healthz')).status).toBe(200);
    }
    await server.start();
    await expectRecovered(['first']);
  });

  it('while PostgreSQL is frozen, no caller waits forever, and service resumes with the database', async () => {
    signalAll('SIGSTOP');
    onTestFinished(() => signalAll('SIGCONT'));
    for (const app of replicas) expect((await ready(app)).status).toBe(503);
    await Promise.all(
      replicas.flatMap((app) => [expectRefused(list(app)), expectRefused(create(app)), expectRefused(create(app))]),
    );
    signalAll('SIGCONT');
    await expectRecovered(['first']);
  });

  it('while PostgreSQL is read-only, reads succeed and changes are refused', async () => {
    const database = new URL(url).pathname.slice(1);
    const breakOff = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`;
    await sql(`ALTER DATABASE ${database} SET default_transaction_read_only = on`, server.url);
    await sql(breakOff, server.url);
    for (const app of replicas) {
      await expect.poll(async () => (await list(app)).status).toBe(200);
      await expectRefused(create(app));
      expect((await ready(app)).status).toBe(503);
    }
    await sql(`ALTER DATABASE ${database} SET default_transaction_read_only = off`, server.url);
    await expectRecovered(['first']);
  });

  it('while PostgreSQL is a standby, everything is refused, and no connection is left open', async () => {
    await server.end();
    await server.start('standby');
    const open = async () =>
      (await sql(`SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'kitestring'`)).rows[0].count;
    for (const app of replicas) {
      for (let asked = 0; asked < 15; asked++) expect((await list(app)).status).toBe(503);
      await expectRefused(create(app));
      expect((await ready(app)).status).toBe(503);
    }
    await expect.poll(open).toBeLessThanOrEqual(2);
    await server.end();
    await server.start();
    await expectRecovered(['first']);
  });

  it('/readyz fails while the connections that receive change notifications are frozen, since every request waits for them', async () => {
    const { rows } = await sql(`SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE 'SELECT "name", "value"::float8 FROM "Counter"%'`);
    expect(rows).toHaveLength(2);
    onTestFinished(() => rows.forEach(({ pid }) => void process.kill(pid, 'SIGCONT')));
    for (const { pid } of rows) process.kill(pid, 'SIGSTOP');
    for (const app of replicas)
      await expect.poll(async () => (await ready(app)).status, { timeout: SILENCE_MS }).toBe(503);
    for (const { pid } of rows) process.kill(pid, 'SIGCONT');
    await expectRecovered(['first']);
  });

  it('while the counters are locked, every replica is ready and reads, and changes wait', async () => {
    const holding = new Client({ connectionString: url });
    await holding.connect();
    onTestFinished(() => holding.end());
    await holding.query('BEGIN; SELECT 1 FROM "Counter" FOR UPDATE');
    const changing = create(replicas[0] as Running);
    // A successful check is cached for one second.
    const until = Date.now() + 2_500;
    for (const app of replicas) expect((await list(app)).status).toBe(200);
    while (Date.now() < until) for (const app of replicas) expect((await ready(app)).status).toBe(200);
    await holding.query('COMMIT');
    expect((await changing).status).toBe(201);
  });

  it('without free connections in PostgreSQL, replicas continue on their open ones and open more when possible', async () => {
    const others: Client[] = [];
    onTestFinished(async () => {
      for (const other of others) await other.end();
    });
    for (let full = false; !full; ) {
      const other = new Client({ connectionString: server.url });
      other.on('error', () => {});
      await other.connect().then(
        () => others.push(other),
        () => {
          full = true;
        },
      );
    }
    for (const app of replicas) {
      const statuses = await Promise.all(Array.from({ length: 8 }, () => create(app).then(({ status }) => status)));
      for (const status of statuses) expect([201, 503]).toContain(status);
      // Sequential requests need no more connections than the replicas have.
      for (let change = 0; change < 3; change++)
        expect([(await create(app)).status, (await list(app)).status]).toEqual([201, 200]);
    }
    for (const other of others.splice(0)) await other.end();
    await expectRecovered(['first']);
  });

  it('while one replica is paused in the middle of a change, the others keep changing, and no change is applied twice', async () => {
    const [still, other] = replicas as [Running, Running];
    onTestFinished(() => still.kill('SIGCONT'));
    const countOf = async (where: string) =>
      (await sql(`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND ${where}`)).rowCount;
    // The change of the paused replica waits for this table, the last one that it writes to.
    const lock = new Client({ connectionString: url });
    await lock.connect();
    await lock.query('BEGIN; LOCK TABLE "AuditRecord" IN SHARE MODE');
    const held = create(still, 'held');
    await expect.poll(() => countOf(`wait_event_type = 'Lock'`), { timeout: SILENCE_MS }).toBe(1);
    still.kill('SIGSTOP');
    await lock.end();
    await expect.poll(() => countOf(`state = 'idle in transaction'`), { timeout: SILENCE_MS }).toBe(1);
    const stop = writeOn();
    // idle_in_transaction_session_timeout releases the locks of the paused replica.
    await expect.poll(async () => (await create(other)).status, { timeout: SILENCE_MS }).toBe(201);
    still.kill('SIGCONT');
    await expectRefused(held);
    const acknowledged = await stop();
    await expectRecovered(acknowledged);
    const { rows } = await sql(
      `SELECT "clusterName" AS name, count(*)::int FROM "AuditRecord" WHERE "action" = 'cluster.create' GROUP BY 1`,
    );
    expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining(acknowledged));
    expect(rows.filter(({ name, count }) => count !== 1 || name === 'held')).toEqual([]);
  });

  it('a replica that is stopped while a background job waits for a table closes its port and hands over immediately', async () => {
    const lock = new Client({ connectionString: url });
    await lock.connect();
    onTestFinished(() => lock.end());
    await lock.query('BEGIN; LOCK TABLE "AuditRecord" IN ACCESS EXCLUSIVE MODE');
    const ending = await startProcess({
      dataDir: await temporaryDirectory(),
      environment: { DATABASE_URL: url, SEAL_KEY },
    });
    const countOf = async (statement: string) => (await sql(statement)).rowCount;
    const waiting = () =>
      countOf(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%AuditRecord%'`);
    await expect.poll(waiting, { timeout: SILENCE_MS }).toBe(1);
    const present = () => countOf(`SELECT 1 FROM "Replica" WHERE "expiresAt" > (now() AT TIME ZONE 'UTC')`);
    await expect.poll(present).toBe(3);

    const stopped = ending.stop();
    const refuses = () =>
      fetch(`${ending.url}/readyz`).then(
        () => false,
        () => true,
      );
    // Twice the promised time.
    await expect.poll(async () => [await refuses(), await present()], { timeout: 4_000 }).toEqual([true, 2]);
    await lock.query('COMMIT');
    expect((await stopped).code).toBe(0);
  });

  it('after a replica is killed in the middle of changes, the other one has every acknowledged change', async () => {
    const stop = writeOn();
    await expect.poll(() => names).toBeGreaterThan(40);
    const [killed, other] = replicas as [Running, Running];
    killed.kill('SIGKILL');
    await killed.ended;
    replicas = [other];
    await expectRecovered(await stop());
  });
});
