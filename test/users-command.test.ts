import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.ts';
import { temporaryDirectory } from './support/directory.ts';
import { type Ended, runCommand, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';
import { createUser, LOGIN, PASSWORD, signedInUser } from './support/users.ts';
import { freshApp } from './support/wire.ts';

const run = (dataDir: string, words: string[], input?: string) =>
  runCommand(words, { dataDir, ...(input === undefined ? {} : { input }) });

async function succeed(dataDir: string, words: string[], input?: string): Promise<Ended> {
  const ended = await run(dataDir, words, input);
  expect(ended).toMatchObject({ code: 0 });
  return ended;
}

const signsIn = async (app: TestApp, username: string, password: string) =>
  (await app.rest('POST', LOGIN, { username, password }, {})).status;

describe('users', () => {
  it('users are created with a password from stdin, before the first start too, and the password is printed nowhere', async () => {
    const dataDir = await temporaryDirectory();
    const words = ['users', 'create', '--admin', '--username', 'root', '--name', 'Root'];
    const { stdout, stderr } = await succeed(dataDir, words, `${PASSWORD}\n`);
    expect(stdout + stderr).not.toContain(PASSWORD);
    const app = await startApp({ DATA_DIR: dataDir });
    onTestFinished(() => app.close());
    expect(await signsIn(app, 'root', PASSWORD)).toBe(204);
    const set = { username: 'other', password: PASSWORD };
    expect((await app.rest('POST', '/api/v1/admin/users/create_super_user', set, {})).status).toBe(403);
    const listed = JSON.parse((await succeed(dataDir, ['users', 'list', '--json'])).stdout);
    expect(listed).toMatchObject([{ username: 'root', name: 'Root', roles: 'admin', provider: 'password', note: '' }]);
    expect(JSON.stringify(listed)).not.toContain('argon2');
    expect(await run(dataDir, words, `${PASSWORD}\n`)).toMatchObject({ code: 1, stderr: 'user already exists\n' });
  });

  it('users get a generated password on stdout only', async () => {
    const app = await freshApp();
    const { stdout } = await succeed(app.dataDir, ['users', 'create', '--username', 'ann', '--generate']);
    expect(stdout).toMatch(/^[\w-]{24}\n$/);
    expect(await signsIn(app, 'ann', stdout.trim())).toBe(204);
    const changed = await succeed(app.dataDir, ['users', 'password', 'ann', '--generate']);
    expect(await signsIn(app, 'ann', stdout.trim())).toBe(401);
    expect(await signsIn(app, 'ann', changed.stdout.trim())).toBe(204);
  });

  it('users are disabled and enabled beside a running server, except the last admin', async () => {
    const app = await freshApp();
    const headers = await signedInUser(app, 'ann');
    await succeed(app.dataDir, ['users', 'disable', 'ann']);
    expect((await app.rest('GET', '/api/auth/user', undefined, headers)).status).toBe(401);
    expect(await signsIn(app, 'ann', PASSWORD)).toBe(401);
    await succeed(app.dataDir, ['users', 'enable', 'ann']);
    expect(await signsIn(app, 'ann', PASSWORD)).toBe(204);
    await createUser(app, 'root', ['admin']);
    expect(await run(app.dataDir, ['users', 'disable', 'root'])).toMatchObject({ code: 1, stdout: '' });
    expect(await run(app.dataDir, ['users', 'disable', 'nobody'])).toMatchObject({
      code: 1,
      stderr: 'user not found\n',
    });
  });

  it.each([
    [['users', 'create'], /--username/],
    [['users', 'create', '--username', 'x'], /stdin/],
    [['users', 'disable'], /NAME/],
    [['audit', 'export', '--since', 'yesterday'], /yesterday/],
  ] as [string[], RegExp][])('%j is a usage error: exit code 2, and no user is created', async (words, reason) => {
    const dataDir = await temporaryDirectory();
    const { code, stdout, stderr } = await run(dataDir, words);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(reason);
    expect(await readdir(dataDir)).toEqual([]);
  });
});

describe('keys create', () => {
  it('keys create narrows a key by --scope', async () => {
    const app = await freshApp();
    const words = [
      'keys',
      'create',
      '--name',
      'ci',
      '--role',
      'admin',
      '--scope',
      'clusters.read',
      '--scope',
      'clusters.live',
    ];
    const key = (await succeed(app.dataDir, words)).stdout.trim();
    const { data } = await app.graphql('{ viewer { actions } }', {}, { Authorization: key });
    expect(data.viewer.actions).toEqual(['CLUSTERS_READ', 'CLUSTERS_LIVE']);
    expect(await run(app.dataDir, ['keys', 'create', '--name', 'x', '--scope', 'everything'])).toMatchObject({
      code: 1,
    });
  });
});

describe('audit export', () => {
  it('audit export prints each record since a date as a line of JSON, oldest first', async () => {
    const app = await freshApp();
    await createUser(app, 'ann');
    const { prisma } = app.domain.database;
    const lines = async (...more: string[]) =>
      (await succeed(app.dataDir, ['audit', 'export', ...more])).stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    const all = await lines();
    expect(all.map(({ action }) => action)).toEqual(['api-key.create', 'api-key.create', 'user.create']);
    expect(all[2]).toMatchObject({ actorId: 'system:command line', outcome: 'DONE', changes: { user: { to: 'ann' } } });
    await prisma.auditRecord.updateMany({ where: { action: 'api-key.create' }, data: { at: new Date('2026-01-01') } });
    expect((await lines('--since', '2026-01-02')).map(({ action }) => action)).toEqual(['user.create']);
  });
});

describe('a start where other machines can reach the server', () => {
  const environment = { HOST: '0.0.0.0', SEAL_KEY: Buffer.alloc(32, 7).toString('base64'), METRICS_PORT: '0' };

  it('a start leaves a setup code readable only by its owner while no user exists, and none afterwards', async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir, environment });
    const file = join(dataDir, 'setup-code');
    const code = (await readFile(file, 'utf8')).trim();
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(code).toMatch(/^[0-9a-f]{32}$/);
    expect(app.output()).toContain(file);
    expect(app.output()).not.toContain(code);
    const sendRequest = (body: object) =>
      fetch(`http://127.0.0.1:${new URL(app.url).port}/api/v1/admin/users/create_super_user`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ username: 'root', password: PASSWORD, ...body }),
      });
    expect((await sendRequest({})).status).toBe(403);
    expect((await sendRequest({ code })).status).toBe(201);
    expect((await app.stop()).code).toBe(0);
    const again = await startProcess({ dataDir, environment });
    expect(await readdir(dataDir)).not.toContain('setup-code');
    expect((await again.stop()).code).toBe(0);
  });

  it('a start that listens only on loopback creates no setup code', async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir, environment: { METRICS_PORT: '0' } });
    expect(await readdir(dataDir)).not.toContain('setup-code');
    expect((await app.stop()).code).toBe(0);
  });

  it('a shutdown stores when the keys were last used', async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir, environment: { METRICS_PORT: '0' } });
    const key = (await readFile(join(dataDir, 'admin-api-key'), 'utf8')).trim();
    await fetch(`${app.url}/api/v1/clusters`, { headers: { Authorization: key } });
    await app.stop();
    const [listed] = JSON.parse((await succeed(dataDir, ['keys', 'list', '--json'])).stdout);
    expect(listed.used).toMatch(/^\d{4}-/);
  });
});
