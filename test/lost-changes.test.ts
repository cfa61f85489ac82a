import { copyFile, cp, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { CLUSTERS } from './support/app.ts';
import { describeOnSqlite } from './support/database.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { firstKey, runCommand, startProcess } from './support/process.ts';

const DATABASE = 'kitestring.db';
const WAL = `${DATABASE}-wal`;
const INDEX = `${DATABASE}-shm`;
const WITNESS = `${DATABASE}-witness`;

/** Starts a server, creates a cluster of this name and kills the server; returns its output. */
async function createAndKill(dataDir: string, name: string): Promise<string> {
  const app = await startProcess({ dataDir });
  const response = await fetch(`${app.url}${CLUSTERS}`, {
    ...{ method: 'POST', headers: { Authorization: await firstKey(dataDir) } },
    body: JSON.stringify({ name, config: kubeconfig() }),
  });
  expect(response.status).toBe(201);
  app.kill('SIGKILL');
  await app.ended;
  return app.output();
}

let template: Promise<string> | undefined;
afterAll(async () => {
  if (template) await rm(await template, { recursive: true });
});

/** A data directory of a killed server: the last clusters are only in the write-ahead log. */
async function createKilledDataDir(): Promise<string> {
  template ??= mkdtemp(join(tmpdir(), 'kitestring-')).then(async (dataDir) => {
    await (await startProcess({ dataDir })).stop();
    await createAndKill(dataDir, 'one');
    await createAndKill(dataDir, 'two');
    return dataDir;
  });
  const dataDir = join(await temporaryDirectory(), 'data');
  await cp(await template, dataDir, { recursive: true });
  return dataDir;
}

/** Starts and stops a server, and returns the warnings of the start. */
async function warningsOf(dataDir: string): Promise<string[]> {
  const app = await startProcess({ dataDir });
  await app.stop();
  const lines = app
    .output()
    .split('\n')
    .filter((line) => line.includes('"level":40'));
  return lines.map((line) => JSON.parse(line).msg);
}

const sizeOf = async (dataDir: string, name: string) => (await stat(join(dataDir, name))).size;

async function overwrite(dataDir: string, name: string, position: number, text: string): Promise<void> {
  await using file = await open(join(dataDir, name), 'r+');
  await file.write(Buffer.from(text), 0, text.length, position);
}

const remove = async (dataDir: string, ...names: string[]) => {
  for (const name of names) await rm(join(dataDir, name), { force: true });
};

describeOnSqlite('the warning about lost changes', () => {
  it.each<[string, RegExp, (dataDir: string) => Promise<unknown>]>([
    ['is missing', /-wal of the database is missing/, (dataDir) => remove(dataDir, WAL)],
    ['is empty', /-wal of the database is missing/, (dataDir) => truncate(join(dataDir, WAL), 0)],
    [
      'lacks its last frame',
      /-wal of the database is cut or damaged/,
      async (dataDir) => truncate(join(dataDir, WAL), (await sizeOf(dataDir, WAL)) - 1),
    ],
    ['is cut to its header', /-wal of the database is cut/, (dataDir) => truncate(join(dataDir, WAL), 32)],
    ['is cut inside its header', /-wal of the database is damaged/, (dataDir) => truncate(join(dataDir, WAL), 20)],
    [
      'has a changed byte',
      /-wal of the database is cut or damaged/,
      (dataDir) => overwrite(dataDir, WAL, 32 + 24 + 1_000, '!'),
    ],
    [
      'is garbage, and its index is gone',
      /-wal of the database is damaged/,
      async (dataDir) => {
        await remove(dataDir, INDEX);
        await writeFile(join(dataDir, WAL), 'garbage'.repeat(10_000));
      },
    ],
  ])('a start warns when the write-ahead log %s', async (_, warning, spoil) => {
    const dataDir = await createKilledDataDir();
    await spoil(dataDir);
    const warnings = await warningsOf(dataDir);
    expect(warnings[0]).toMatch(warning);
    expect(warnings[0]).toContain(join(dataDir, WAL));
    expect(warnings[0]).toContain('restore a backup');
  });

  it('a start warns when the write-ahead log and its index are missing, with changes that an earlier start has seen', async () => {
    const dataDir = await createKilledDataDir();
    await remove(dataDir, WAL, INDEX);
    const { at } = JSON.parse(await readFile(join(dataDir, WITNESS), 'utf8'));
    expect(await warningsOf(dataDir)).toEqual([
      expect.stringMatching(/^The database .*kitestring\.db lacks changes that it had at /),
    ]);
    expect(Date.parse(at)).toBeLessThanOrEqual(Date.now());
  });

  it('a start warns when an older database replaced that of a killed server', async () => {
    const dataDir = await temporaryDirectory();
    await (await startProcess({ dataDir })).stop();
    const old = join(await temporaryDirectory(), 'old.db');
    await copyFile(join(dataDir, DATABASE), old);
    await createAndKill(dataDir, 'one');
    await createAndKill(dataDir, 'two');
    await remove(dataDir, WAL, INDEX);
    await copyFile(old, join(dataDir, DATABASE));
    expect(await warningsOf(dataDir)).toEqual([expect.stringMatching(/or an older file was put in its place/)]);
  });

  it.each([
    ['missing', (dataDir: string) => remove(dataDir, DATABASE)],
    ['empty', (dataDir: string) => truncate(join(dataDir, DATABASE), 0)],
  ])('a start warns when the database is %s and seal-keys exists', async (_, spoil) => {
    const dataDir = await temporaryDirectory();
    await (await startProcess({ dataDir })).stop();
    await spoil(dataDir);
    const [warning, ...more] = await warningsOf(dataDir);
    expect(warning).toMatch(
      /kitestring\.db was missing or empty and a new one was created, although .*seal-keys shows/,
    );
    expect(more).toEqual([]);
    // The new database exists from now on.
    expect(await warningsOf(dataDir)).toEqual([]);
  });

  it('a start of the command line warns too, and not on stdout', async () => {
    const dataDir = await createKilledDataDir();
    await remove(dataDir, WAL);
    const { code, stdout, stderr } = await runCommand(['keys', 'list'], { dataDir });
    expect(code).toBe(0);
    expect(stderr).toMatch(/^The log .*-wal of the database is missing/);
    expect(stdout).not.toContain('-wal');
  });
});

describeOnSqlite('no warning about lost changes', () => {
  it('a start after a kill, of a copy of its files, or after a restore does not warn', async () => {
    const dataDir = await createKilledDataDir();
    const copy = join(await temporaryDirectory(), 'copy');
    await cp(dataDir, copy, { recursive: true });
    const backup = join(await temporaryDirectory(), 'backup.db');
    expect(await runCommand(['backup', backup], { dataDir })).toMatchObject({ code: 0, stderr: '' });
    expect(await createAndKill(dataDir, 'three')).not.toMatch(/"level":40/);
    expect(await runCommand(['restore', backup], { dataDir })).toMatchObject({ code: 0, stderr: '' });
    expect(await warningsOf(dataDir)).toEqual([]);
    expect(await warningsOf(copy)).toEqual([]);
  });

  it('a start after a clean stop, which leaves neither a write-ahead log nor a witness, does not warn', async () => {
    const dataDir = await createKilledDataDir();
    // A server that is killed while it writes its witness leaves this draft.
    await writeFile(join(dataDir, `${WITNESS}.draft`), '{');
    expect(await warningsOf(dataDir)).toEqual([]);
    expect((await readdir(dataDir)).toSorted()).toEqual(['admin-api-key', DATABASE, 'seal-keys']);
  });
});

describeOnSqlite('a restore', () => {
  it('a restore rejects a backup whose write-ahead log would be ignored', async () => {
    const [dataDir, elsewhere] = [await temporaryDirectory(), await temporaryDirectory()];
    await (await startProcess({ dataDir })).stop();
    const backup = join(elsewhere, 'backup.db');
    await copyFile(join(dataDir, DATABASE), backup);
    await writeFile(`${backup}-wal`, 'garbage');
    const { code, stderr } = await runCommand(['restore', backup], { dataDir });
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/backup\.db-wal of the database is damaged.*move .*-wal away/),
    ]);
  });
});

describeOnSqlite('the witness of a running server', () => {
  it('the witness follows committed changes, and one write covers many changes', async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir });
    const seen = async () => JSON.parse(await readFile(join(dataDir, WITNESS), 'utf8')).numbers.registry;
    expect(await seen()).toBe(0);
    for (let index = 0; index < 20; index++) {
      const body = JSON.stringify({ name: `c${index}`, config: kubeconfig() });
      const headers = { Authorization: await firstKey(dataDir) };
      expect((await fetch(`${app.url}${CLUSTERS}`, { method: 'POST', headers, body })).status).toBe(201);
    }
    const values = new Set<number>();
    await expect.poll(async () => values.add(await seen()).has(20), { timeout: 25_000 }).toBe(true);
    expect(values.size).toBeLessThanOrEqual(3);
  });
});
