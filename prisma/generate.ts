// Generates the Prisma client of each kind of database and Pothos' types. `<kind>.prisma` followed by `models.prisma`
// is the schema. Prisma's CLI downloads a schema engine that `generate` never runs: PRISMA_SCHEMA_ENGINE_BINARY names
// another executable instead, so that the installation works offline. With --unless-current, does nothing if the
// clients match their sources.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { unpackCompiler } from '../src/internals/prisma-client.ts';
import { areClientsCurrent, KINDS, markClientsCurrent } from './clients.ts';

/** Milliseconds to wait while another process generates the clients, which takes 2 s on two cores. */
const PATIENCE_MS = 60_000;

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

// Prevents two processes that start at the same time from writing the same files. The lock is released when the process
// ends.
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
        // Prisma searches the PATH for generators. npm adds this directory to the PATH, other callers do not.
        PATH: [here('../node_modules/.bin'), process.env.PATH].join(delimiter),
      },
      stdio: ['ignore', process.env.CI ? 'inherit' : 'ignore', 'inherit'],
    });
    if (status !== 0) process.exit(status ?? 1);
    await unpackCompiler(here(`../src/storage/generated/${kind}/internal/`));
  }
  markClientsCurrent();
}
