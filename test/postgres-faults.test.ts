import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { CLUSTERS } from './support/app.ts';
import { openChanges } from './support/changes.ts';
import { POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from './support/postgres-server.ts';
import { firstKey, type Running, startProcess } from './support/process.ts';

/** A server of one's own, since it is to fail. */
const isThere = POSTGRES !== undefined && (await postgresPrograms()) !== undefined;
if (POSTGRES !== undefined && !isThere) console.log('left out: faults of PostgreSQL, which is not installed here.');

const SEAL_KEY = Buffer.alloc(32, 7).toString('base64');
/** What a caller waits at most while the database is silent: an answer's 10 s, a connection's 5, and some for a busy machine. */
const SILENCE_MS = 30_000;

interface Answer {
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

async function ask(app: Running, method: string, path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${app.url}${path}`, {
    ...{ method, headers: { Authorization: key, 'Content-Type': 'application/json' } },
    ...(body ? { body: JSON.stringify(body) } : {}),
    signal: AbortSignal.timeout(SILENCE_MS),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

const create = (app: Running, name = `cluster ${++names}`) =>
  ask(app, 'POST', CLUSTERS, { name, config: kubeconfig(), enabled: false });
const list = (app: Running) => ask(app, 'GET', CLUSTERS);
const ready = (app: Running) => ask(app, 'GET', '/readyz');

async function expectRefused(refusal: Promise<Answer>): Promise<void> {
  const { status, body } = await refusal;
  expect([status, body.error]).toEqual([503, expect.stringMatching(/^The database cannot be used/)]);
  expect(body.error).not.toMatch(/127\.0\.0\.1|postgres|prisma| at /i);
}

/** Nobody has to do anything: each replica works again, and all of them show the same. */
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

/** Writes on every replica until `stop`, and gives the names that were acknowledged. */
function writeOn(): () => Promise<string[]> {
  let writing = true;
  const acknowledged: string[] = [];
  const writers = replicas.flatMap((app) =>
    [1, 2].map(async () => {
      while (writing && replicas.includes(app)) {
        const name = `cluster ${++names}`;
        // One that is killed answers nothing.
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

/** Stops or continues every process of the server, as a machine that stands still. */
function signalAll(signal: NodeJS.Signals): void {
  for (const entry of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(entry)) continue;
    try {
      const [, parent] = /\) \S (\d+)/.exec(readFileSync(`/proc/${entry}/stat`, 'utf8')) ?? [];
      if (Number(parent) === server.pid) process.kill(Number(entry), signal);
    } catch {
      // It has ended since.
    }
  }
  process.kill(server.pid, signal);
}

describe.runIf(isThere)('replicas over a PostgreSQL', { timeout: 120_000 }, () => {
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

  it('that restarts under load: what was acknowledged is there, and streams go on', async () => {
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
    const heard = await changes.until(({ cluster }) => cluster?.name === name);
    expect(heard.at(-1)?.cluster?.name).toBe(name);
  });

  it('that is away: refused at once on every route, not ready, and back by itself', async () => {
    await server.end();
    for (const app of replicas) {
      await expectRefused(list(app));
      await expectRefused(create(app));
      expect(await ready(app)).toEqual({ status: 503, body: { status: 'unavailable' } });
      expect((await ask(app, 'GET', '/healthz')).status).toBe(200);
    }
    await server.start();
    await expectRecovered(['first']);
  });

  it('that stands still: nobody waits for ever, and it goes on when the database does', async () => {
    signalAll('SIGSTOP');
    onTestFinished(() => signalAll('SIGCONT'));
    for (const app of replicas) expect((await ready(app)).status).toBe(503);
    await Promise.all(
      replicas.flatMap((app) => [expectRefused(list(app)), expectRefused(create(app)), expectRefused(create(app))]),
    );
    signalAll('SIGCONT');
    await expectRecovered(['first']);
  });

  it('that is read-only for a while: reads go on, changes are refused', async () => {
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

  it('that is a standby for a while: all is refused, and nothing is left open by it', async () => {
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

  it('whose connections that hear of changes stand still: /readyz tells, since every request waits for them', async () => {
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

  it('whose counters somebody holds: every replica is ready and reads, and changes wait', async () => {
    const holding = new Client({ connectionString: url });
    await holding.connect();
    onTestFinished(() => holding.end());
    await holding.query('BEGIN; SELECT 1 FROM "Counter" FOR UPDATE');
    const changing = create(replicas[0] as Running);
    // A success counts for a second.
    const until = Date.now() + 2_500;
    for (const app of replicas) expect((await list(app)).status).toBe(200);
    while (Date.now() < until) for (const app of replicas) expect((await ready(app)).status).toBe(200);
    await holding.query('COMMIT');
    expect((await changing).status).toBe(201);
  });

  it('that has no connection left: those that are open serve on, and more come when there are', async () => {
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
      // One after another needs no connection more than there are.
      for (let change = 0; change < 3; change++)
        expect([(await create(app)).status, (await list(app)).status]).toEqual([201, 200]);
    }
    for (const other of others.splice(0)) await other.end();
    await expectRecovered(['first']);
  });

  it('one of which is stopped in the middle of a change: the others change on, and it changes nothing twice', async () => {
    const [still, other] = replicas as [Running, Running];
    onTestFinished(() => still.kill('SIGCONT'));
    const countOf = async (where: string) =>
      (await sql(`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND ${where}`)).rowCount;
    // Its change waits for this table, the last that it writes to, while it is stopped.
    const lock = new Client({ connectionString: url });
    await lock.connect();
    await lock.query('BEGIN; LOCK TABLE "AuditRecord" IN SHARE MODE');
    const held = create(still, 'held');
    await expect.poll(() => countOf(`wait_event_type = 'Lock'`), { timeout: SILENCE_MS }).toBe(1);
    still.kill('SIGSTOP');
    await lock.end();
    await expect.poll(() => countOf(`state = 'idle in transaction'`), { timeout: SILENCE_MS }).toBe(1);
    const stop = writeOn();
    // What it holds is given free by idle_in_transaction_session_timeout.
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

  it('one of which is told to end while a chore waits for a table: it listens no more and hands over at once', async () => {
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
    // Twice the time that is promised.
    await expect.poll(async () => [await refuses(), await present()], { timeout: 4_000 }).toEqual([true, 2]);
    await lock.query('COMMIT');
    expect((await stopped).code).toBe(0);
  });

  it('one of which is killed in the middle of changes: the other has all that was acknowledged', async () => {
    const stop = writeOn();
    await expect.poll(() => names).toBeGreaterThan(40);
    const [killed, other] = replicas as [Running, Running];
    killed.kill('SIGKILL');
    await killed.ended;
    replicas = [other];
    await expectRecovered(await stop());
  });
});
