import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { Caller } from '../src/domain/access/caller.ts';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { REMEMBERED_CHANGES } from '../src/domain/registry-change.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { describeOnSqlite } from './support/database.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { type Ended, runCommand } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';
import { createUser, LOGIN, PASSWORD } from './support/users.ts';

async function serve(): Promise<TestApp> {
  const app = await startApp();
  onTestFinished(() => app.close());
  return app;
}

const run = (dataDir: string, ...words: string[]) => runCommand(words, { dataDir });

async function succeed(dataDir: string, ...words: string[]): Promise<string> {
  const ended = await run(dataDir, ...words);
  expect(ended).toMatchObject({ code: 0 });
  return ended.stdout;
}

/** Expects exit code 1, one line on stderr that states the reason, an empty stdout and no stack trace. */
function expectRefusal({ code, stdout, stderr }: Ended): string {
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/^[^\n]+\n$/);
  expect(stderr).not.toMatch(/ {4}at |Error:/);
  return stderr;
}

const statusWithKey = async (app: TestApp, key: string) =>
  (await app.rest('GET', CLUSTERS, undefined, { Authorization: key })).status;

const listed = async (app: TestApp) => (await app.rest('GET', CLUSTERS)).body as { id: number; name: string }[];

const create = async (app: TestApp, name: string, more: object = {}) => {
  const { status, body } = await app.rest('POST', CLUSTERS, { name, config: kubeconfig(), ...more });
  expect(status).toBe(201);
  return body.id as number;
};

const rowsOf = (file: string, sql: string) => {
  const database = new DatabaseSync(file);
  try {
    return database.prepare(sql).all();
  } finally {
    database.close();
  }
};

describe('CLI usage', () => {
  it.each([
    [[], /^Name a command/],
    [['nonsense'], /no command "nonsense"/],
    [['keys'], /no command "keys"/],
    [['keys', 'create', '--nam', 'x'], /--nam/],
    [['keys', 'create'], /--name/],
    [['keys', 'create', '--name', 'x', '--expires', 'tomorrow'], /tomorrow/],
    [['keys', 'create', '--name', 'x', '--expires', '2020-01-01'], /future/],
    [['keys', 'list', 'all'], /options only/],
    [['keys', 'revoke'], /ID/],
    [['keys', 'revoke', '01'], /ID/],
    [['backup'], /FILE/],
    [['backup', 'a', 'b'], /FILE/],
    [['restore', 'a', '--force'], /--force/],
  ] as [string[], RegExp][])(
    'the arguments %j are a usage error: exit code 2, with the correct usage on stderr',
    async (words, reason) => {
      const dataDir = await temporaryDirectory();
      const { code, stdout, stderr } = await run(dataDir, ...words);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(reason);
      expect(stderr).toMatch(/Usage: .*kitestring/);
      expect(stderr).not.toMatch(/ {4}at /);
      expect(await readdir(dataDir)).toEqual([]);
    },
  );

  it('--help shows every command, and COMMAND --help only that command', async () => {
    const dataDir = await temporaryDirectory();
    const all = await succeed(dataDir, '--help');
    for (const name of ['keys create', 'keys list', 'keys revoke', 'seal verify', 'backup FILE', 'restore FILE'])
      expect(all).toContain(name);
    const one = await succeed(dataDir, 'backup', '-h');
    expect(one).toContain('backup FILE');
    expect(one).not.toContain('restore');
  });
});

describe('the keys commands', () => {
  it('keys create and keys revoke take effect on the next request to a running server', async () => {
    const app = await serve();
    const stdout = await succeed(app.dataDir, 'keys', 'create', '--name', 'ci', '--role', 'admin');
    // Print only the key, so that `KEY=$(npm run -s kitestring -- keys create …)` works.
    expect(stdout).toMatch(/^kite[1-9][0-9]*-[\w-]{43}\n$/);
    const key = stdout.trim();
    expect(await statusWithKey(app, key)).toBe(200);
    const [id = ''] = key.split('-');
    await succeed(app.dataDir, 'keys', 'revoke', id);
    expect(await statusWithKey(app, key)).toBe(401);
    expect(expectRefusal(await run(app.dataDir, 'keys', 'revoke', id))).toMatch(/not found/);
  });

  it('a key without a role is authenticated and has no permissions', async () => {
    const app = await serve();
    const { stdout, stderr } = await run(app.dataDir, 'keys', 'create', '--name', 'nobody', '--expires', '2999-01-01');
    expect(await statusWithKey(app, stdout.trim())).toBe(403);
    expect(stderr).toContain('--role admin');
    expect(expectRefusal(await run(app.dataDir, 'keys', 'create', '--name', 'x', '--role', 'root'))).toContain('root');
  });

  it('keys list does not show secrets', async () => {
    const app = await serve();
    const keys = JSON.parse(await succeed(app.dataDir, 'keys', 'list', '--json'));
    expect(keys).toMatchObject([
      { id: 1, name: 'test admin', roles: 'admin', expires: 'never' },
      { id: 2, name: 'test without role', roles: '' },
    ]);
    expect(Object.keys(keys[0])).not.toContain('hash');
    expect(await succeed(app.dataDir, 'keys', 'list')).toContain('test admin');
  });

  it('keys create works before the first start, in a directory that does not exist yet', async () => {
    const dataDir = join(await temporaryDirectory(), 'data');
    const key = (await succeed(dataDir, 'keys', 'create', '--name', 'first', '--role', 'admin')).trim();
    const app = await startApp({ DATA_DIR: dataDir });
    onTestFinished(() => app.close());
    expect(await statusWithKey(app, key)).toBe(200);
  });
});

describeOnSqlite('a data directory without a database', () => {
  it.each(
    [
      ['keys', 'list'],
      ['keys', 'revoke', '1'],
      ['backup', 'copy.db'],
      ['seal', 'verify'],
    ].map((words) => [words]),
  )('%j rejects a data directory without a database and does not create one', async (words) => {
    const dataDir = join(await temporaryDirectory(), 'mistyped');
    expect(expectRefusal(await run(dataDir, ...words))).toMatch(/no database in .*mistyped: set DATA_DIR/);
    await expect(stat(dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describeOnSqlite('the backup command', () => {
  it('backup copies a database in use, readable only by its owner, and overwrites a file only with --force', async () => {
    const app = await serve();
    await create(app, 'one');
    const file = join(await temporaryDirectory(), 'copy.db');
    expect(await succeed(app.dataDir, 'backup', file)).toContain(file);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(rowsOf(file, 'SELECT name FROM Cluster')).toEqual([{ name: 'one' }]);

    await create(app, 'two');
    const before = await readFile(file);
    expect(expectRefusal(await run(app.dataDir, 'backup', file))).toMatch(/exists: .*--force/);
    expect(await readFile(file)).toEqual(before);
    await succeed(app.dataDir, 'backup', '--force', file);
    expect(rowsOf(file, 'SELECT name FROM Cluster')).toHaveLength(2);
  });

  it('backup reports why the file cannot be written', async () => {
    const app = await serve();
    const nowhere = join(app.dataDir, 'nowhere', 'copy.db');
    expect(expectRefusal(await run(app.dataDir, 'backup', nowhere))).toMatch(/cannot be written \(ENOENT\)/);
    const itself = join(app.dataDir, 'kitestring.db');
    expect(expectRefusal(await run(app.dataDir, 'backup', '--force', itself))).toMatch(/cannot be written/);
    expect(await listed(app)).toEqual([]);
  });
});

describeOnSqlite('the restore command', () => {
  async function backedUp() {
    const app = await serve();
    const file = join(await temporaryDirectory(), 'copy.db');
    return { app, file, backUp: () => succeed(app.dataDir, 'backup', file) };
  }

  const numbersOf = async (app: TestApp) =>
    new Map(
      (await app.domain.database.prisma.cluster.findMany()).map((row) => [
        row.name,
        { ...row, numbers: [row.revision, row.credentialsVersion, row.registryChange] },
      ]),
    );

  it('the next request to a running server sees the restored data, not cached responses', async () => {
    const { app, file, backUp } = await backedUp();
    await create(app, 'kept', { isDefault: true, description: 'as it was' });
    const dropped = await create(app, 'dropped later');
    await backUp();
    await app.rest('PUT', `${CLUSTERS}1`, { description: 'changed', isDefault: false });
    await app.rest('DELETE', `${CLUSTERS}${dropped}`);
    await create(app, 'made later', { isDefault: true });
    for (let asked = 0; asked < 3; asked++) expect((await listed(app)).map(({ id }) => id)).toEqual([1, 3]);

    expect(await succeed(app.dataDir, 'restore', file)).toContain('2 clusters');
    expect(await listed(app)).toMatchObject([
      { id: 1, name: 'kept', description: 'as it was', isDefault: true },
      { id: 2, name: 'dropped later', isDefault: false },
    ]);
    expect((await app.rest('DELETE', `${CLUSTERS}${dropped}`)).status).toBe(200);
    // The id of a deleted cluster is never reused, even if nothing of the cluster is left.
    expect(await create(app, 'new')).toBe(4);
    expect(await succeed(app.dataDir, 'seal', 'verify')).toBe('2 of 2 sealed kubeconfigs open.\n');
    expect((await readdir(app.dataDir)).filter((name) => name.startsWith('restore'))).toEqual([]);
  });

  it('restore waits for concurrent writers, and none of them fails', async () => {
    const { app, file, backUp } = await backedUp();
    await create(app, 'one');
    await backUp();
    let restoring = true;
    const write = async (writer: number) => {
      for (let index = 0; restoring; index++) await create(app, `w${writer}-${index}`);
    };
    const writers = [write(1), write(2), write(3)];
    await succeed(app.dataDir, 'restore', file);
    restoring = false;
    await Promise.all(writers);
    expect((await listed(app))[0]).toMatchObject({ id: 1, name: 'one' });
    expect(rowsOf(join(app.dataDir, 'kitestring.db'), 'PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
    expect(rowsOf(join(app.dataDir, 'kitestring.db'), 'PRAGMA foreign_key_check')).toEqual([]);
  });

  it('restore raises revisions, versions and counters above those of both databases', async () => {
    const { app, file, backUp } = await backedUp();
    const id = await create(app, 'one');
    await backUp();
    for (const server of ['https://10.0.0.1:6443', 'https://10.0.0.2:6443'])
      await app.rest('PUT', `${CLUSTERS}${id}`, { config: kubeconfig({ cluster: { server } }) });
    await create(app, 'gone');
    const [before, counters] = [await numbersOf(app), await app.domain.database.counters()];
    await succeed(app.dataDir, 'restore', file);
    const [after, raised] = [await numbersOf(app), await app.domain.database.counters()];
    for (const name of ['registry', 'status', 'access'] as const)
      expect(raised[name]).toBeGreaterThan(counters[name] + REMEMBERED_CHANGES);
    const highest = Math.max(...[...before.values()].flatMap(({ numbers }) => numbers));
    for (const number of after.get('one')?.numbers ?? []) expect(number).toBeGreaterThan(highest);
    expect(after.get('one')).toMatchObject({ uid: before.get('one')?.uid, state: 'PENDING', observedAt: null });
  });

  it('restore brings back the keys of the backup except those revoked since, and keeps the declared key', async () => {
    const { app, file, backUp } = await backedUp();
    const createKey = async (name: string) => (await succeed(app.dataDir, 'keys', 'create', '--name', name)).trim();
    const [stays, leaked] = [await createKey('stays'), await createKey('leaked')];
    const { apiKeys } = app.domain;
    const caller = new Caller({ viewer: null });
    await apiKeys.declare(caller, 'kite9-old-secret-of-the-configuration');
    await backUp();
    await succeed(app.dataDir, 'keys', 'revoke', leaked.split('-')[0] ?? '');
    const later = await createKey('later');
    await apiKeys.declare(caller, 'kite9-new-secret-of-the-configuration');
    await succeed(app.dataDir, 'restore', file);
    const statuses = [stays, leaked, later, 'kite9-old-secret-of-the-configuration'].map((key) =>
      statusWithKey(app, key),
    );
    expect(await Promise.all(statuses)).toEqual([403, 401, 401, 401]);
    expect(await statusWithKey(app, 'kite9-new-secret-of-the-configuration')).toBe(200);
    expect(await statusWithKey(app, app.admin)).toBe(200);
    // The id of a deleted key is not reused either.
    expect(Number((await createKey('new')).slice(4).split('-')[0])).toBeGreaterThan(
      Number(later.slice(4).split('-')[0]),
    );
  });

  it('restore disables and names users whose access was changed or removed after the backup', async () => {
    const { app, file, backUp } = await backedUp();
    const { users } = app.domain;
    const names = ['changed', 'deleted', 'disabled', 'long-disabled', 'stays'];
    for (const name of names) await createUser(app, name, ['admin']);
    const caller = systemCaller('command line');
    await users.update(caller, { username: 'long-disabled', disabled: true });
    await backUp();
    await users.update(caller, { username: 'changed', password: 'another correct horse' });
    await users.update(caller, { username: 'disabled', disabled: true });
    await users.update(caller, { username: 'long-disabled', disabled: false });
    await users.delete(caller, 'deleted');
    await createUser(app, 'made-later');
    for (let restored = 1; restored <= 2; restored++) {
      const [, note] = (await succeed(app.dataDir, 'restore', file)).split('\n');
      expect(note).toMatch(/after the backup: changed, deleted, disabled\. /);
      const people = await users.list(caller);
      expect(people.map(({ username, disabled }) => [username, disabled])).toEqual(
        names.map((name) => [name, name !== 'stays']),
      );
      for (const name of names)
        expect((await app.rest('POST', LOGIN, { username: name, password: PASSWORD }, {})).status).toBe(
          name === 'stays' ? 204 : 401,
        );
      await app.domain.database.prisma.signInFailure.deleteMany();
    }
    const elsewhere = join(await temporaryDirectory(), 'new');
    await mkdir(elsewhere);
    await copyFile(join(app.dataDir, 'seal-keys'), join(elsewhere, 'seal-keys'));
    expect(await succeed(elsewhere, 'restore', file)).not.toContain('after the backup');
  });

  it('restore keeps every audit record and adds one for itself', async () => {
    const { app, file, backUp } = await backedUp();
    await create(app, 'one');
    await backUp();
    await create(app, 'two');
    const { prisma } = app.domain.database;
    const before = await prisma.auditRecord.findMany();
    for (let restored = 1; restored <= 2; restored++) {
      await succeed(app.dataDir, 'restore', file);
      const after = await prisma.auditRecord.findMany({ orderBy: { id: 'asc' } });
      expect(after.slice(0, before.length)).toEqual(before);
      expect(after).toHaveLength(before.length + restored);
      expect(after.at(-1)).toMatchObject({ action: 'database.restore', actor: 'system:command line (command line)' });
    }
  });

  it('restore moves a registry to a new machine together with its key file', async () => {
    const { app, file, backUp } = await backedUp();
    await create(app, 'one', { isDefault: true });
    await app.rest('DELETE', `${CLUSTERS}${await create(app, 'gone before the backup')}`);
    await backUp();
    const dataDir = join(await temporaryDirectory(), 'new');
    expect(expectRefusal(await run(dataDir, 'restore', file))).toMatch(/key file .* is missing: restore it/);
    await copyFile(join(app.dataDir, 'seal-keys'), join(dataDir, 'seal-keys'));
    await succeed(dataDir, 'restore', file);
    const moved = await startApp({ DATA_DIR: dataDir });
    onTestFinished(() => moved.close());
    expect(await statusWithKey(moved, app.admin)).toBe(200);
    expect(await listed(moved)).toMatchObject([{ id: 1, name: 'one', isDefault: true }]);
    expect(await moved.domain.database.prisma.auditRecord.count({ where: { action: 'cluster.create' } })).toBe(2);
    expect(await create(moved, 'two')).toBe(3);
  });

  it('restore rejects a file that is not a backup and changes nothing', async () => {
    const { app, file, backUp } = await backedUp();
    await create(app, 'one');
    await backUp();
    const directory = await temporaryDirectory();
    const text = join(directory, 'text');
    await writeFile(text, 'not a database\n'.repeat(100));
    const cut = join(directory, 'cut.db');
    await writeFile(cut, (await readFile(file)).subarray(0, 40_000));
    const foreign = join(directory, 'foreign.db');
    rowsOf(foreign, 'SELECT 1');
    const other = new DatabaseSync(foreign);
    other.exec('CREATE TABLE recipes (name TEXT)');
    other.close();
    const newer = join(directory, 'newer.db');
    await copyFile(file, newer);
    rowsOf(
      newer,
      `INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count)
      VALUES ('later', 'x', CURRENT_TIMESTAMP, '29990101000000_later', 1) RETURNING id`,
    );
    const sealed = join(directory, 'sealed.db');
    await copyFile(file, sealed);
    rowsOf(sealed, `UPDATE ClusterCredential SET keyId = 'nobodys1' RETURNING keyId`);
    const before = await listed(app);
    for (const [name, reason] of [
      [text, /not a backup/],
      [cut, /not a backup/],
      [foreign, /not a backup/],
      [join(directory, 'none'), /no file/],
      [directory, /cannot be copied/],
      [join(app.dataDir, 'kitestring.db'), /the database itself/],
      [newer, /29990101000000_later/],
      [sealed, /sealed with key nobodys1/],
    ] as const)
      expect(expectRefusal(await run(app.dataDir, 'restore', name))).toMatch(reason);
    expect(await listed(app)).toEqual(before);
    expect((await readdir(app.dataDir)).filter((name) => name.startsWith('restore'))).toEqual([]);
  });

  it('restore rejects a backup that contains triggers, views, foreign tables or invalid counters', async () => {
    const { app, file, backUp } = await backedUp();
    await create(app, 'one');
    await backUp();
    const directory = await temporaryDirectory();
    const copyWith = async (name: string, sql: string) => {
      const copy = join(directory, name);
      await copyFile(file, copy);
      const database = new DatabaseSync(copy);
      database.exec(sql);
      database.close();
      return copy;
    };
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const [name, reason] of [
      [await copyWith('view.db', 'CREATE VIEW "x" AS SELECT 1'), /views, triggers/],
      [
        await copyWith('trigger.db', 'CREATE TRIGGER "x" AFTER UPDATE ON "Counter" BEGIN DELETE FROM "Cluster"; END'),
        /views, triggers/,
      ],
      [await copyWith('virtual.db', 'CREATE VIRTUAL TABLE "x" USING fts5("y")'), /views, triggers/],
      [await copyWith('table.db', 'CREATE TABLE "x" ("y" TEXT)'), /do not belong to Kitestring/],
      [await copyWith('index.db', 'CREATE INDEX "x" ON "Cluster" (abs("id"))'), /do not belong to Kitestring/],
      ...(await Promise.all(
        [
          [`${2n ** 53n - 2n}`, 'registry'],
          [`${2n ** 31n}`, 'registry'],
          [`${2n ** 53n - 2n}`, 'access'],
          ['-1', 'status'],
          ['1.5', 'status'],
          [`'many'`, 'status'],
        ].map(
          async ([value, counter], index) =>
            [
              await copyWith(
                `counter-${index}.db`,
                `UPDATE "Counter" SET "value" = ${value} WHERE "name" = '${counter}'`,
              ),
              /counters/,
            ] as const,
        ),
      )),
      [
        await copyWith('sequence.db', `UPDATE sqlite_sequence SET "seq" = ${2 ** 31} WHERE "name" = 'Cluster'`),
        /counters/,
      ],
      [pipe, /not a regular file/],
    ] as const)
      expect(expectRefusal(await run(app.dataDir, 'restore', name))).toMatch(reason);
    expect(await listed(app)).toMatchObject([{ name: 'one' }]);
    await succeed(app.dataDir, 'restore', file);
    expect(await create(app, 'two')).toBe(2);
  });
});
