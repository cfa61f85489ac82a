import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { describeOnSqlite } from './support/database.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { launchCommand, runCommand, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';
import { createUser, defineRole, keyWith } from './support/users.ts';

const caller = systemCaller('command line');

async function backedUp() {
  const app = await startApp();
  onTestFinished(() => app.close());
  const file = join(await temporaryDirectory(), 'copy.db');
  const run = (...words: string[]) => runCommand(words, { dataDir: app.dataDir });
  await app.rest('POST', CLUSTERS, { name: 'one', config: kubeconfig() });
  const back = async () => expect(await run('backup', file)).toMatchObject({ code: 0 });
  const restore = async () => {
    const ended = await run('restore', file);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    return ended.stdout;
  };
  return { app, file, run, back, restore };
}

/** JavaScript that sends the process this signal once it has copied the backup. */
const afterCopy = (signal: string) => `
  import fs from 'node:fs/promises';
  import { syncBuiltinESMExports } from 'node:module';
  const { copyFile } = fs;
  fs.copyFile = async (...words) => {
    await copyFile(...words);
    process.kill(process.pid, '${signal}');
  };
  syncBuiltinESMExports();`;

const copiesIn = async (dataDir: string) =>
  (await readdir(dataDir)).filter((name) => name.startsWith('restore-in-progress-'));

const leftovers = async (dataDir: string) => (await readdir(dataDir)).filter((name) => name.includes('restore'));

describeOnSqlite('a restore that is killed', () => {
  const killed = async (dataDir: string, file: string) => {
    const { ended } = launchCommand(['restore', file], { dataDir, before: afterCopy('SIGKILL') });
    expect((await ended).signal).toBe('SIGKILL');
    const [copy = ''] = await copiesIn(dataDir);
    expect(await readdir(join(dataDir, copy))).toContain('backup.db');
  };

  it('a killed restore leaves a copy of the database that the next restore removes', async () => {
    const { app, file, back, restore } = await backedUp();
    await back();
    await killed(app.dataDir, file);
    await restore();
    expect(await leftovers(app.dataDir)).toEqual([]);
  });

  it('a killed restore leaves a copy that the next start removes, and no other file with a similar name', async () => {
    const { app, file, back } = await backedUp();
    await back();
    await killed(app.dataDir, file);
    await app.domain.database.close();
    for (const name of ['restore-backup', 'restore-in-progress-', 'restore-in-progress-of-ours'])
      await mkdir(join(app.dataDir, name));
    await writeFile(join(app.dataDir, 'restore-in-progress-abcdef'), 'a file');
    const started = await startProcess({ dataDir: app.dataDir });
    expect((await leftovers(app.dataDir)).toSorted()).toEqual([
      'restore-backup',
      'restore-in-progress-',
      'restore-in-progress-abcdef',
      'restore-in-progress-of-ours',
    ]);
    expect(started.output()).toMatch(
      /"removed":\["restore-in-progress-\w{6}"\].*removed files left by a killed command/,
    );
  });
});

describeOnSqlite('a restore that is running', () => {
  it('a running restore keeps its copy through a start, and makes another restore fail', async () => {
    const { app, file, run, back } = await backedUp();
    await back();
    const running = launchCommand(['restore', file], { dataDir: app.dataDir, before: afterCopy('SIGSTOP') });
    await expect.poll(() => copiesIn(app.dataDir), { timeout: 10_000 }).toHaveLength(1);
    const copies = await copiesIn(app.dataDir);
    const started = await startProcess({ dataDir: app.dataDir });
    expect(await copiesIn(app.dataDir)).toEqual(copies);
    const refused = { code: 1, stdout: '', stderr: expect.stringMatching(/^Another restore is running: wait/) };
    expect(await run('restore', file)).toEqual({ ...refused, signal: null });
    await started.stop();
    running.kill('SIGCONT');
    expect(await running.ended).toMatchObject({ code: 0 });
    expect(await leftovers(app.dataDir)).toEqual([]);
  });
});

describeOnSqlite('a key rotation that is killed', () => {
  it('a killed key rotation leaves a draft of the key file that a start removes once no process can be writing it', async () => {
    const dataDir = await temporaryDirectory();
    const [old, young] = [
      'seal-keys.00000000-0000-4000-8000-000000000000',
      'seal-keys.00000000-0000-4000-8000-000000000001',
    ];
    for (const name of [old, young, 'seal-keys.copy']) await writeFile(join(dataDir, name), 'a draft');
    await utimes(join(dataDir, old), new Date(0), new Date(0));
    await startProcess({ dataDir });
    const names = (await readdir(dataDir)).filter((name) => name.startsWith('seal-keys.'));
    expect(names.toSorted()).toEqual([young, 'seal-keys.copy'].toSorted());
  });
});

describeOnSqlite('rights that were revoked after the backup', () => {
  const rolesOf = async ({ domain }: TestApp) =>
    new Map((await domain.users.list(caller)).map(({ username, roles }) => [username, roles]));
  const notes = (stdout: string) => stdout.split('\n').filter((line) => line.startsWith('Not restored'));

  it('a restore does not give a revoked role back to a user, names it, and restores their other roles', async () => {
    const { app, back, restore } = await backedUp();
    const { users } = app.domain;
    await createUser(app, 'ann', ['admin', 'viewer']);
    await createUser(app, 'ben', ['viewer']);
    await createUser(app, 'cid', ['admin']);
    await back();
    await users.update(caller, { username: 'ann', roles: ['viewer'] });
    await users.update(caller, { username: 'ben', roles: [] });
    await users.update(caller, { username: 'ben', roles: ['viewer', 'admin'] });
    await users.delete(caller, 'cid');
    for (let restored = 1; restored <= 2; restored++) {
      expect(notes(await restore())).toEqual([
        'Not restored, because it was revoked after the backup: user ann: admin; user cid: admin. An admin can grant it again.',
      ]);
      expect(await rolesOf(app)).toEqual(
        new Map([
          ['ann', ['viewer']],
          ['ben', ['viewer']],
          ['cid', []],
        ]),
      );
    }
    const [last] = await app.domain.database.prisma.auditRecord.findMany({ orderBy: { id: 'desc' }, take: 1 });
    expect(last).toMatchObject({
      action: 'database.restore',
      changes: { revoked: { to: ['user ann: admin', 'user cid: admin'] } },
    });
  });

  it('a restore does not give back rights through a role that was deleted or narrowed, and names it', async () => {
    const { app, back, restore } = await backedUp();
    const [read, change] = ['clusters.read', 'clusters.update'] as const;
    const everywhere = (name: string) => defineRole(app, { name, actions: [read, change] });
    for (const name of ['deleted', 'fewer-actions', 'fewer-clusters', 'stays']) await everywhere(name);
    await defineRole(app, { name: 'widened', actions: [read], clusters: { names: ['a*'] } });
    await createUser(app, 'ann', ['deleted', 'stays']);
    const { id } = await keyWith(app, ['deleted', 'stays']);
    await back();
    await app.domain.roles.delete(caller, 'deleted');
    await defineRole(app, { name: 'fewer-actions', actions: [read] });
    await defineRole(app, { name: 'fewer-clusters', actions: [read, change], clusters: { names: ['a*'] } });
    await everywhere('widened');
    await everywhere('made-later');
    expect(notes(await restore())).toEqual([
      `Not restored, because it was revoked after the backup: role deleted; role fewer-actions: clusters.update; role fewer-clusters: other clusters; user ann: deleted; API key ${id} (key of deleted,stays): deleted. An admin can grant it again.`,
    ]);
    const roles = new Map((await app.domain.roles.list(caller)).map(({ name, ...role }) => [name, role]));
    expect([...roles.keys()].toSorted()).toEqual([
      ...['admin', 'fewer-actions', 'fewer-clusters', 'stays', 'viewer', 'widened'],
    ]);
    expect(roles.get('fewer-actions')).toMatchObject({ actions: [read], clusters: null });
    expect(roles.get('fewer-clusters')).toMatchObject({ actions: [read, change], clusters: { names: ['a*'] } });
    expect(roles.get('widened')).toMatchObject({ actions: [read], clusters: { names: ['a*'] } });
    expect((await rolesOf(app)).get('ann')).toEqual(['stays']);
    const keys = new Map((await app.domain.apiKeys.list(caller)).map((key) => [key.id, key.roles]));
    expect(keys.get(id)).toEqual(['stays']);
  });

  it('a restore on another machine gives everything back', async () => {
    const { app, file, back } = await backedUp();
    await defineRole(app, { name: 'ops', actions: ['clusters.read'] });
    await createUser(app, 'ann', ['ops']);
    await back();
    await app.domain.roles.delete(caller, 'ops');
    const dataDir = await temporaryDirectory();
    const environment = { SEAL_KEY: await readFile(join(app.dataDir, 'seal-keys'), 'utf8') };
    const ended = await runCommand(['restore', file], { dataDir, environment });
    expect(notes(ended.stdout)).toEqual([]);
    const there = await startApp({ DATA_DIR: dataDir, ...environment });
    onTestFinished(() => there.close());
    expect(await rolesOf(there)).toEqual(new Map([['ann', ['ops']]]));
  });
});
