// The Prisma clients and Pothos' types: the head of each database over the models that they share. The CLI wants to
// download an engine that `generate` never runs: naming any executable in its place keeps the install offline.
// With --unless-current it does nothing where the clients belong to their sources already.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { areClientsCurrent, KINDS, markClientsCurrent } from './clients.ts';

/** How long another process may take to generate the same clients: it takes 2 s on two cores. */
const PATIENCE_MS = 60_000;

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

// SQLite's lock of a file ends with the process. Two processes that start at once would write the same files.
mkdirSync(here('../src/storage/generated'), { recursive: true });
const lock = new DatabaseSync(here('../src/storage/generated/lock'), { timeout: PATIENCE_MS });
lock.exec('BEGIN EXCLUSIVE');
if (!process.argv.includes('--unless-current') || !areClientsCurrent()) await generate();

async function generate(): Promise<void> {
  const prisma = fileURLToPath(import.meta.resolve('prisma/build/index.js'));
  const models = readFileSync(here('models.prisma'), 'utf8');
  for (const kind of KINDS) {
    const schema = here(`${kind}.generated.prisma`);
    writeFileSync(schema, `${readFileSync(here(`${kind}.prisma`), 'utf8')}\n${models}`);
    const { status } = spawnSync(process.execPath, [prisma, 'generate', `--schema=${schema}`, '--no-hints'], {
      env: {
        ...{ ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' },
        // Prisma looks for the generators there. npm puts it on the PATH; other ways to start this do not.
        PATH: [here('../node_modules/.bin'), process.env.PATH].join(delimiter),
      },
      stdio: ['ignore', process.env.CI ? 'inherit' : 'ignore', 'inherit'],
    });
    if (status !== 0) process.exit(status ?? 1);
    await unpackCompiler(here(`../src/storage/generated/${kind}/internal/`));
  }
  markClientsCurrent();
}

/** Puts the query compiler into a file of its own: as text of a module, which is how it comes, it stays in memory twice, 9 MB. */
async function unpackCompiler(folder: string): Promise<void> {
  const loads = /const { wasm } = await import\("(.+)"\)\s+return await decodeBase64AsWasm\(wasm\)/;
  const text = readFileSync(`${folder}class.ts`, 'utf8');
  const [, packed] = loads.exec(text) ?? [];
  if (packed === undefined) throw new Error('the generated client loads its query compiler in another way than before');
  const { wasm } = (await import(packed)) as { wasm: string };
  writeFileSync(`${folder}query-compiler.wasm`, Buffer.from(wasm, 'base64'));
  const unpacked = `const { readFile } = await import('node:fs/promises')
    return await WebAssembly.compile(await readFile(new URL('query-compiler.wasm', import.meta.url)))`;
  writeFileSync(`${folder}class.ts`, text.replace(loads, unpacked));
}
