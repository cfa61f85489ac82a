import { Client } from 'pg';
import { describe, expect, it } from 'vitest';
import { isUnavailable } from '../src/storage/database-error.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import { toDriverError } from '../src/storage/postgres/errors.ts';
import { CLUSTERS, startApp } from './support/app.ts';
import { databaseOf, POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { onTestFinished } from './support/running-test.ts';

const withCode = (code: string, error = new Error('canary')) => Object.assign(error, { code });

it.each([
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'Client has encountered a connection error and is not queryable',
  'timeout expired',
  'timeout exceeded when trying to connect',
])('%s: the database is unavailable', (message) => {
  expect(isUnavailable(toDriverError(new Error(message)))).toBe(true);
});

it.each(['EPIPE', 'EHOSTUNREACH', 'EAI_AGAIN', 'CERT_HAS_EXPIRED', 'ERR_STREAM_DESTROYED'])(
  '%s: the database is unavailable',
  (code) => {
    expect(isUnavailable(toDriverError(withCode(code)))).toBe(true);
  },
);

it.each([
  new TypeError('Connection terminated'),
  withCode('ERR_INVALID_ARG_TYPE', new TypeError('canary')),
  new Error('Prepared statements must be unique'),
  withCode('P2002'),
])('a program error is not reported as an unavailable database: %s', (error) => {
  expect(toDriverError(error)).toBe(error);
  expect(isUnavailable(error)).toBe(false);
});

describe.runIf(POSTGRES !== undefined)('a database that refuses a statement', () => {
  it('another refusal is a logged internal error, not an unavailable database', async () => {
    const app = await startApp();
    onTestFinished(() => app.close());
    const { prisma } = app.domain.database;
    expect((await app.rest('GET', CLUSTERS)).status).toBe(200);
    await prisma.$executeRaw`ALTER TABLE "Counter" RENAME TO "Gone"`;
    const asked = await app.rest('GET', CLUSTERS);
    await prisma.$executeRaw`ALTER TABLE "Gone" RENAME TO "Counter"`;
    expect(asked.status).toBe(500);
    expect(app.logged()).toMatch(/"type":"DatabaseError","code":"42P01".*"a request failed"/);
    expect((await app.rest('GET', CLUSTERS)).status).toBe(200);
  });

  it('a database that rejects our login is unavailable until it accepts it', async () => {
    const url = databaseOf(await temporaryDirectory()).DATABASE_URL ?? '';
    const client = new Client({ connectionString: new URL(url).href.replace(/\?.*/, '') });
    await client.connect();
    onTestFinished(() => client.end());
    const role = `kite_${process.pid}`;
    await client.query(`CREATE ROLE ${role} LOGIN SUPERUSER`);
    onTestFinished(async () => void (await client.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`)));
    const roleUrl = Object.assign(new URL(url), { username: role });
    const database = await openDatabase({ url: roleUrl.href });
    onTestFinished(() => database.close());
    await client.query(`ALTER ROLE ${role} NOLOGIN`);
    await expect(database.counters()).rejects.toSatisfy(isUnavailable);
    await client.query(`ALTER ROLE ${role} LOGIN`);
    expect(await database.counters()).toEqual({ registry: 0, status: 0, access: 0 });
  });
});
