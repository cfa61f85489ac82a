import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { kubeconfigPlace, verifySealed } from '../src/domain/credentials/sealed-kubeconfigs.ts';
import { sealKey } from '../src/storage/seal.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';
import { describeOnSqlite } from './support/database.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { lengthOf } from './support/length.ts';
import { atLoad } from './support/load.ts';
import { runCommand } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

const config = kubeconfig();

async function serve(environment: Record<string, string> = {}): Promise<TestApp> {
  const app = await startApp({ DATA_DIR: await temporaryDirectory(), ...environment });
  onTestFinished(() => app.close());
  return app;
}

const create = async (app: TestApp, name: string) => {
  const { status, body } = await app.rest('POST', CLUSTERS, { name, config });
  expect(status).toBe(201);
  return body.id as number;
};

/** Stores this many clusters with sealed kubeconfigs in one transaction. */
async function fill({ domain: { database, seal } }: TestApp, count: number): Promise<void> {
  await database.write('registry', async (tx) => {
    const data = Array.from({ length: count }, (_, index) => clusterRow(`filled-${index}`));
    const rows = await tx.cluster.createManyAndReturn({ data, select: { id: true, uid: true } });
    const sealed = rows.map(({ id: clusterId, uid }) => {
      const value = seal.seal(config, kubeconfigPlace(uid));
      return { clusterId, sealed: value, keyId: seal.keyId };
    });
    await tx.clusterCredential.createMany({ data: sealed });
  });
}

async function rotate({ dataDir }: { dataDir: string }, words: string[] = [], environment = {}) {
  const ended = await runCommand(['seal', 'rotate', ...words], { dataDir, environment });
  expect(ended).toMatchObject({ code: 0 });
  return ended.stdout;
}

const keysOf = async (dataDir: string) => {
  const lines = (await readFile(join(dataDir, 'seal-keys'), 'utf8')).split('\n');
  return lines.filter((line) => /^[\w-]{43}$/.test(line)).map((line) => sealKey(Buffer.from(line, 'base64')).id);
};

const sealedWith = async ({ domain }: TestApp) => {
  const rows = await domain.database.prisma.clusterCredential.findMany({ select: { sealed: true, keyId: true } });
  const ids = rows.map(({ sealed }) => sealed.split('.')[1]);
  expect(rows.map(({ keyId }) => keyId)).toEqual(ids);
  return [...new Set(ids)];
};

describeOnSqlite('seal rotate beside a running server', () => {
  it('seal rotate adds a first key to the file, keeps the others, and reseals everything with it', async () => {
    const app = await serve();
    await fill(app, 250);
    const [old = ''] = await keysOf(app.dataDir);
    const said = await rotate(app);
    const [first = '', ...others] = await keysOf(app.dataDir);
    expect(others).toEqual([old]);
    expect(await sealedWith(app)).toEqual([first]);
    expect(said).toContain('250 kubeconfigs');
    expect(said).toMatch(new RegExp(`${old} is no longer needed`));
    const file = join(app.dataDir, 'seal-keys');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toMatch(/^# Seals the kubeconfigs/);
    expect((await readdir(app.dataDir)).filter((name) => name.startsWith('seal-keys'))).toEqual(['seal-keys']);
  });

  it('a running server decrypts values sealed with a new key, and seals with that key from then on', async () => {
    const app = await serve();
    const id = await create(app, 'before');
    await rotate(app);
    const [first = ''] = await keysOf(app.dataDir);
    const uid = (await app.domain.database.prisma.cluster.findUniqueOrThrow({ where: { id } })).uid;
    await expect(app.domain.credentials.open(uid)).resolves.toBeDefined();
    await create(app, 'after');
    expect(await sealedWith(app)).toEqual([first]);
  });

  it('a running server seals with the new key even if it has decrypted nothing since', async () => {
    const app = await serve();
    await rotate(app);
    await create(app, 'after');
    expect(await sealedWith(app)).toEqual([(await keysOf(app.dataDir))[0]]);
  });

  it('a rotation changes no revision and no credential version, so that no connection is reopened', async () => {
    const app = await serve();
    await fill(app, 3);
    const read = () =>
      app.domain.database.prisma.cluster.findMany({
        select: { revision: true, credentialsVersion: true, updatedAt: true },
      });
    const [before, counters] = [await read(), await app.domain.database.counters()];
    await rotate(app);
    expect([await read(), await app.domain.database.counters()]).toEqual([before, counters]);
  });

  it('writes continue during a rotation, and their values can be decrypted', async () => {
    const app = await serve();
    await fill(app, 400);
    let ended = false;
    const rotating = rotate(app).finally(() => {
      ended = true;
    });
    const ids: number[] = [];
    while (!ended) {
      ids.push(await create(app, `written-${ids.length}`));
      await app.rest('PUT', `${CLUSTERS}${ids[0]}`, { config });
    }
    await rotating;
    const { opened, failures } = await verifySealed(app.domain.database, app.domain.seal);
    expect([opened, failures]).toEqual([400 + ids.length, []]);
    expect(await sealedWith(app)).toEqual([(await keysOf(app.dataDir))[0]]);
  });

  it('a rotation is recorded in the audit log, without the key', async () => {
    const app = await serve();
    await rotate(app);
    await rotate(app, ['--prune']);
    const records = await app.domain.database.prisma.auditRecord.findMany({
      where: { action: { startsWith: 'seal.' } },
    });
    expect(records.map(({ action, actor }) => [action, actor])).toEqual([
      ['seal.rotate', 'system:command line (command line)'],
      ['seal.prune', 'system:command line (command line)'],
    ]);
    const [secret = ''] = (await readFile(join(app.dataDir, 'seal-keys'), 'utf8')).match(/^[\w-]{43}$/m) ?? [];
    expect(secret).not.toBe('');
    expect(JSON.stringify(records)).not.toContain(secret);
  });
});

describeOnSqlite('concurrent rotations', () => {
  it('two concurrent rotations lose no key', async () => {
    const app = await serve();
    await fill(app, 300);
    await Promise.all([rotate(app), rotate(app), rotate(app)]);
    const { opened, failures } = await verifySealed(app.domain.database, app.domain.seal);
    expect([opened, failures]).toEqual([300, []]);
  });
});

describeOnSqlite('seal rotate --prune', () => {
  it('seal rotate --prune removes the unused keys, and adds none', async () => {
    const app = await serve();
    await fill(app, 5);
    await rotate(app);
    await rotate(app);
    const [first = '', ...others] = await keysOf(app.dataDir);
    expect(others).toHaveLength(2);
    await rotate(app, ['--prune']);
    expect(await keysOf(app.dataDir)).toEqual([first]);
    expect((await verifySealed(app.domain.database, app.domain.seal)).opened).toBe(5);
    await create(app, 'after');
    expect(await sealedWith(app)).toEqual([first]);
  });

  it('seal rotate --prune keeps a key that a value is sealed with, even if the value cannot be decrypted', async () => {
    const app = await serve();
    await fill(app, 2);
    const [old = ''] = await keysOf(app.dataDir);
    const { prisma } = app.domain.database;
    const broken = await prisma.clusterCredential.findFirstOrThrow();
    // A truncated value, stored under another key's name: the key id in the value itself counts.
    const data = { sealed: broken.sealed.slice(0, -2), keyId: 'AAAAAAAA' };
    await prisma.clusterCredential.update({ where: { clusterId: broken.clusterId }, data });
    const lost = await runCommand(['seal', 'rotate'], { dataDir: app.dataDir });
    expect([lost.code, lost.stderr]).toEqual([1, expect.stringContaining('AAAAAAAA')]);
    await prisma.clusterCredential.update({ where: { clusterId: broken.clusterId }, data: { ...data, keyId: old } });
    await runCommand(['seal', 'rotate'], { dataDir: app.dataDir });
    const pruned = await runCommand(['seal', 'rotate', '--prune'], { dataDir: app.dataDir });
    expect([pruned.code, pruned.stderr]).toEqual([1, expect.stringContaining('"filled-0" does not open')]);
    expect(await keysOf(app.dataDir)).toContain(old);
  });
});

describe('seal rotate with SEAL_KEY', () => {
  const [older, newer] = [randomBytes(32), randomBytes(32)] as const;
  const SEAL_KEY = older.toString('base64');

  it('seal rotate with SEAL_KEY prints the setting to change, and changes nothing', async () => {
    const app = await serve({ SEAL_KEY });
    await fill(app, 2);
    expect(await rotate(app, [], { SEAL_KEY })).toMatch(/SEAL_KEY=<new key>,/);
    expect(await sealedWith(app)).toEqual([sealKey(older).id]);
    expect(await readdir(app.dataDir)).not.toContain('seal-keys');
  });

  it('seal rotate with SEAL_KEY seals with the first key, and names the keys that are no longer needed', async () => {
    const both = { SEAL_KEY: `${newer.toString('hex')},${SEAL_KEY}` };
    const before = await serve({ SEAL_KEY });
    await fill(before, 120);
    const said = await rotate(before, ['--prune'], both);
    expect(await sealedWith(before)).toEqual([sealKey(newer).id]);
    expect(said).toContain(`${sealKey(older).id} is no longer needed`);
    for (const key of [newer.toString('hex'), SEAL_KEY]) expect(said).not.toContain(key);
  });
});

describeOnSqlite('a key file', () => {
  it('a malformed key file makes writes of a running server fail, and never loses stored values', async () => {
    const app = await serve();
    const file = join(app.dataDir, 'seal-keys');
    const before = await readFile(file, 'utf8');
    await create(app, 'before');
    await writeFile(file, 'nonsense\n');
    expect((await app.rest('POST', CLUSTERS, { name: 'refused', config })).status).toBe(500);
    await writeFile(file, before);
    await create(app, 'after');
    expect((await verifySealed(app.domain.database, app.domain.seal)).failures).toEqual([]);
  });
});

describeOnSqlite('a rotation that is killed', () => {
  const commandLine = fileURLToPath(new URL('../src/cli/kitestring.ts', import.meta.url));

  /** Runs a rotation and kills it as soon as it has reported this many batches. */
  async function killAfter(dataDir: string, batches: number): Promise<NodeJS.Signals | null> {
    const child = spawn(process.execPath, [commandLine, 'seal', 'rotate'], {
      env: { PATH: process.env.PATH ?? '', DATA_DIR: dataDir },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    let reports = 0;
    for await (const line of createInterface(child.stderr)) {
      if (/resealed/.test(line) && ++reports === batches) child.kill('SIGKILL');
    }
    return (await exited)[1];
  }

  const KILLS = lengthOf({ short: 3, long: 10 });

  it('a rotation that is killed repeatedly leaves every value readable, and the next run continues', {
    timeout: atLoad(180_000),
  }, async () => {
    const app = await serve();
    await fill(app, 1_500);
    let killed = 0;
    let mixed = 0;
    for (let round = 0; round < KILLS; round++) {
      if ((await killAfter(app.dataDir, 1 + (round % 3))) === 'SIGKILL') killed++;
      if ((await sealedWith(app)).length > 1) mixed++;
      const { opened, failures } = await verifySealed(app.domain.database, app.domain.seal);
      expect([opened, failures]).toEqual([1_500, []]);
    }
    expect([killed, mixed > KILLS / 2]).toEqual([KILLS, true]);
    // An interrupted rotation is completed, and no new one is begun.
    const before = await keysOf(app.dataDir);
    expect(before.length).toBeLessThan(5);
    await rotate(app, ['--prune']);
    expect(await keysOf(app.dataDir)).toEqual(before.slice(0, 1));
    const verified = await runCommand(['seal', 'verify'], { dataDir: app.dataDir });
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining('1500 of 1500') });
  });
});
