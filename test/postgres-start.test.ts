import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../src/storage/open-database.ts';
import { CLUSTERS, startApp } from './support/app.ts';
import { POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from './support/postgres-server.ts';
import { type Ended, failToStart, runCommand, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

const SEAL_KEY = Buffer.alloc(32, 7).toString('base64');
const NEWER_KEY = Buffer.alloc(32, 8).toString('base64');
/** The password as it is, and percent-encoded for a URL. */
const PASSWORD = 'p@ss/w:rd canary';
const WRONG = 'wr@ng canary';
const escaped = encodeURIComponent;
const isThere = POSTGRES !== undefined && (await postgresPrograms()) !== undefined;

describe.runIf(isThere)('a start with DATABASE_URL', () => {
  let server: PostgresServer;
  let directory: string;
  let made = 0;

  beforeAll(async () => {
    // The server, which runs as another user, must be able to read it.
    directory = await mkdtemp(join(tmpdir(), 'kitestring-hba-'));
    await chmod(directory, 0o755);
    const hba = join(directory, 'hba.conf');
    await writeFile(hba, 'host all kite 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n');
    await chmod(hba, 0o644);
    server = await startPostgres([`hba_file=${hba}`]);
    await run(server.url, `CREATE ROLE kite LOGIN PASSWORD '${PASSWORD}'`);
  });
  afterAll(async () => {
    await server.remove();
    await rm(directory, { recursive: true });
  });

  /** Creates a database, runs `statements` in it and returns its URL. */
  async function database(...statements: string[]): Promise<URL> {
    const url = new URL(server.url);
    url.pathname = `/made${++made}`;
    await run(server.url, `CREATE DATABASE made${made}`);
    for (const statement of statements) await run(url.href, statement);
    return url;
  }

  async function refusalOf(url: string): Promise<string> {
    const dataDir = await temporaryDirectory();
    return sentence(await failToStart({ dataDir, environment: { DATABASE_URL: url, SEAL_KEY } }));
  }

  it.each([
    ['no URL', 'not a url canary', /is not a URL/],
    ['a URL of another database', `mysql://kite:${escaped(PASSWORD)}@127.0.0.1/x`, /is not a URL/],
    ['a password with % as it is', 'postgresql://kite:100%canary@127.0.0.1/x', /is not a URL/],
    ['a password with / as it is', `postgresql://kite:${PASSWORD}@127.0.0.1/x`, /is not a URL/],
    ['a port that is none', `postgresql://kite:${escaped(PASSWORD)}@127.0.0.1:99999/x`, /is not a URL/],
    ['no host', 'postgresql://', /is not a URL/],
    ['no database', `postgresql://kite:${escaped(PASSWORD)}@127.0.0.1`, /names no database/],
    ['an sslmode that is none', 'postgresql://kite@127.0.0.1/x?sslmode=bogus', /invalid sslmode: use disable, /],
    ['a certificate that is missing', 'postgresql://kite@127.0.0.1/x?sslrootcert=/nowhere/ca.crt', /nowhere\/ca\.crt/],
    ['a schema with quotes', 'postgresql://kite@127.0.0.1/x?schema=a%22b', /invalid schema/],
    ['an unknown host', `postgresql://kite:${escaped(PASSWORD)}@db.invalid/x`, /host/],
    ['a port without a server', `postgresql://kite:${escaped(PASSWORD)}@127.0.0.1:1/x`, /no server listens/],
    ['a socket that is not there', 'postgresql:///x?host=/nowhere', /no such socket/],
  ])('a start reports %s in one sentence', async (_, url, reason) => {
    expect(await refusalOf(url)).toMatch(reason);
  });

  it('a start that PostgreSQL refuses is reported in one sentence, without the password', async () => {
    const url = await database();
    const as = (password: string) => `postgresql://kite:${escaped(password)}@${url.host}${url.pathname}`;
    expect(await refusalOf(as(WRONG))).toMatch(/password is wrong/);
    expect(await refusalOf(as('').replace(':@', '@'))).toMatch(/asks for a password/);
    expect(await refusalOf(as(PASSWORD).replace(url.pathname, '/missing'))).toMatch(/no such database/);
    expect(await refusalOf(`${as(PASSWORD)}?sslmode=require`)).toMatch(/no TLS/);
    expect(await refusalOf(as(PASSWORD))).toMatch(/may not create tables/);
    expect(await refusalOf(`${as(PASSWORD)}?schema=own`)).toMatch(/lacks a right/);
    expect(await contentOf(url)).toEqual([]);
  });

  it('a start with a server that is not PostgreSQL is reported in one sentence', async () => {
    // A message of an unknown type, and its length.
    const other = createServer((socket) => void socket.on('error', () => {}).end('?\0\0\0\x04'));
    await once(other.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void other.close());
    const { port } = other.address() as AddressInfo;
    expect(await refusalOf(`postgresql://kite:${escaped(WRONG)}@127.0.0.1:${port}/x`)).toMatch(
      /does not respond like PostgreSQL/,
    );
  });

  it('a start that fails unexpectedly is reported with a code, and the log has the location', async () => {
    const { href, pathname } = await database();
    await run(server.url, `ALTER DATABASE ${pathname.slice(1)} ALLOW_CONNECTIONS false`);
    const environment = { DATABASE_URL: href, SEAL_KEY };
    const { code, stdout, stderr } = await failToStart({ dataDir: await temporaryDirectory(), environment });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^[^\n]+unknown error occurred \(55000\)\.\n$/)]);
    expect(JSON.parse(stdout)).toMatchObject({ level: 60, err: { code: '55000' } });
    expect(stdout).not.toContain(pathname.slice(1));
  });

  it('a start refuses a database of another program or history, and changes nothing', async () => {
    const read = await database('CREATE TABLE "Orders" (id int)');
    const unread = await database('CREATE TABLE orders (id int)', 'GRANT ALL ON SCHEMA public TO kite');
    unread.username = 'kite';
    unread.password = escaped(PASSWORD);
    const prisma = await database('CREATE TABLE _prisma_migrations AS SELECT 1', 'CREATE TABLE orders (id int)');
    for (const url of [read, unread, prisma]) {
      const before = await contentOf(url);
      expect(await refusalOf(url.href)).toMatch(/another program/);
      expect(await contentOf(url)).toEqual(before);
    }
    const ours = await database();
    await (await openDatabase({ url: ours.href })).close();
    await run(ours.href, `UPDATE _prisma_migrations SET checksum = 'x'`);
    expect(await refusalOf(ours.href)).toMatch(/is not the one/);
    await run(ours.href, `UPDATE _prisma_migrations SET migration_name = '20990101000000_newer'`);
    const before = await contentOf(ours);
    expect(await refusalOf(ours.href)).toMatch(/20990101000000_newer, which this version does not know/);
    expect(await contentOf(ours)).toEqual(before);
  });

  it('a start refuses a database whose encoding cannot store every text, and changes nothing', async () => {
    const name = 'latin';
    await run(server.url, `CREATE DATABASE ${name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    expect(await refusalOf(url.href)).toMatch(/in the encoding LATIN1: create one with ENCODING 'UTF8'/);
    expect(await contentOf(url)).toEqual([]);
  });

  it('a start uses its own schema, as a user with minimal rights, beside tables of other programs', async () => {
    const url = await database(
      'CREATE TABLE orders (id int)',
      'CREATE SCHEMA own',
      'GRANT CREATE, USAGE ON SCHEMA own TO kite',
      'CREATE SCHEMA kite AUTHORIZATION kite',
    );
    url.username = 'kite';
    url.password = escaped(PASSWORD);
    await expect(openDatabase({ url: url.href })).rejects.toThrow(/add \?schema=kite/);
    for (const search of ['schema=own', 'schema=kite&options=-c%20statement_timeout%3D5000']) {
      url.search = search;
      const opened = await openDatabase({ url: url.href });
      expect(await opened.counters()).toEqual({ registry: 0, status: 0, access: 0 });
      expect(await opened.prisma.cluster.count()).toBe(0);
      await opened.close();
    }
    expect((await contentOf(url)).filter(({ schema }) => schema === 'public')).toEqual([
      { schema: 'public', name: 'orders' },
    ]);
  });

  it('a start sends a pooler only known parameters, and sets the others before the first use', async () => {
    const url = await database();
    const parameters = new Set<string>();
    const pooler = createServer((near) => {
      const far = connect(server.port, '127.0.0.1');
      // The length, the protocol version, then names and values alternately.
      near.once('data', (first) => {
        const words = first.subarray(8).toString().split('\0');
        for (let at = 0; at < words.length - 2; at += 2) parameters.add(words[at] ?? '');
        far.write(first);
        near.pipe(far).pipe(near);
      });
      for (const socket of [near, far]) socket.on('error', () => {});
    });
    await once(pooler.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void pooler.close());
    url.port = String((pooler.address() as AddressInfo).port);
    url.search = 'schema=own';
    const opened = await openDatabase({ url: url.href });
    const set = () => opened.prisma.$queryRaw`
      SELECT current_schema(), current_setting('idle_in_transaction_session_timeout') AS patience,
        pg_advisory_lock_shared(7)::text`;
    // Each uses its own connection, since all of them wait at once.
    const lock = new Client({ connectionString: new URL(url.pathname, server.url).href });
    await lock.connect();
    onTestFinished(() => lock.end());
    await lock.query('SELECT pg_advisory_lock(7)');
    const setting = Promise.all(Array.from({ length: 5 }, set));
    const waiting = async () =>
      (await lock.query(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`)).rowCount;
    await expect.poll(waiting).toBe(5);
    await lock.query('SELECT pg_advisory_unlock(7)');
    const all = await setting;
    expect(all).toEqual(all.map(() => [expect.objectContaining({ current_schema: 'own', patience: '8s' })]));
    expect(await opened.counters()).toEqual({ registry: 0, status: 0, access: 0 });
    await opened.close();
    expect([...parameters].sort()).toEqual(['application_name', 'client_encoding', 'database', 'user']);
  });

  it('times are read correctly with every date style of the server or the role', async () => {
    const url = await database();
    for (const style of ['SQL, DMY', 'Postgres, MDY', 'German']) {
      await run(server.url, `ALTER DATABASE ${url.pathname.slice(1)} SET DateStyle = '${style}'`);
      const app = await startApp({ DATA_DIR: await temporaryDirectory(), DATABASE_URL: url.href, SEAL_KEY });
      const made = Date.now();
      const { body } = await app.rest('POST', CLUSTERS, { name: style, config: kubeconfig() });
      const { data } = await app.graphql(`{ cluster(by: { databaseId: ${body.id} }) { createdAt } }`);
      expect(Math.abs(Date.parse(data.cluster.createdAt) - made), style).toBeLessThan(10_000);
      const { prisma } = app.domain.database;
      const at = new Date('2026-03-04T05:06:07.008Z');
      await prisma.auditRecord.updateMany({ data: { at } });
      expect((await prisma.auditRecord.findMany({ select: { at: true } }))[0], style).toEqual({ at });
      await app.close();
    }
  });

  it('every command that needs no file works with DATABASE_URL', async () => {
    const { href } = await database();
    const dataDir = await temporaryDirectory();
    const environment = { DATABASE_URL: href, SEAL_KEY };
    const app = await startApp({ DATA_DIR: dataDir, ...environment });
    expect((await app.rest('POST', CLUSTERS, { name: 'one', config: kubeconfig() })).status).toBe(201);
    await app.close();
    const succeed = async (words: string[], more: object = {}, input = '') => {
      const ended = await runCommand(words, { dataDir, environment: { ...environment, ...more }, input });
      expect(ended).toMatchObject({ code: 0 });
      return ended.stdout;
    };
    expect(await succeed(['keys', 'create', '--name', 'ci', '--role', 'admin'])).toMatch(/^kite\d+-/);
    expect(await succeed(['keys', 'list', '--json'])).toContain('"ci"');
    expect(await succeed(['audit', 'export'])).toContain('"one"');
    const both = { SEAL_KEY: `${NEWER_KEY},${SEAL_KEY}` };
    expect(await succeed(['seal', 'rotate'], both)).toMatch(/1 kubeconfigs were resealed/);
    expect(await succeed(['seal', 'verify'], { SEAL_KEY: NEWER_KEY })).toBe('1 of 1 sealed kubeconfigs open.\n');
    for (const [words, instead] of [
      [['backup', 'x'], 'pg_dump'],
      [['restore', 'x'], 'pg_restore'],
    ] as const)
      expect(sentence(await runCommand(words, { dataDir, environment }))).toContain(instead);
  });

  it('when many replicas start at once on an empty database, one migrates and all serve', async () => {
    const url = await database();
    const environment = { DATABASE_URL: url.href, SEAL_KEY };
    const replicas = await Promise.all(
      Array.from({ length: 4 }, async () => startProcess({ dataDir: await temporaryDirectory(), environment })),
    );
    for (const { url } of replicas) expect((await fetch(`${url}/readyz`)).status).toBe(200);
    const opened = await Promise.all(Array.from({ length: 4 }, () => openDatabase({ url: url.href })));
    await Promise.all(opened.map((database) => database.close()));
    const { rows } = await run(url.href, 'SELECT migration_name, count(*)::int FROM _prisma_migrations GROUP BY 1');
    expect(rows.map(({ count }) => count)).toEqual(rows.map(() => 1));
    await Promise.all(replicas.map(({ stop }) => stop()));
  });
});

async function run(url: string, sql: string) {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client.query(sql).finally(() => client.end());
}

/** Every schema and table of a database except PostgreSQL's own, as seen by its superuser. */
async function contentOf({ href }: URL): Promise<{ schema: string; name: string }[]> {
  const url = new URL(href);
  Object.assign(url, { username: 'postgres', password: '', search: '' });
  const { rows } = await run(
    url.href,
    `SELECT nspname AS schema, relname AS name FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid
     WHERE nspname !~ '^pg_|^information_schema$' ORDER BY 1, 2`,
  );
  return rows;
}

/** Expects one sentence on stderr or in the log that gives the reason, without secrets or a stack, and returns it. */
function sentence({ code, stdout, stderr }: Ended): string {
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/^[^\n]+\.\n$/);
  expect(decodeURIComponent(stderr)).not.toMatch(/canary|p@ss| {4}at |Error:/);
  return stderr;
}
