// The Prisma clients and Pothos' types: the head of each database over the models that they share. The CLI wants to
// download an engine that `generate` never runs: naming any executable in its place keeps the install offline.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const prisma = fileURLToPath(import.meta.resolve('prisma/build/index.js'));
const models = readFileSync(here('models.prisma'), 'utf8');

for (const kind of ['sqlite', 'postgres']) {
  const schema = here(`${kind}.generated.prisma`);
  writeFileSync(schema, `${readFileSync(here(`${kind}.prisma`), 'utf8')}\n${models}`);
  const { status } = spawnSync(process.execPath, [prisma, 'generate', `--schema=${schema}`, '--no-hints'], {
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' },
    stdio: ['ignore', process.env.CI ? 'inherit' : 'ignore', 'inherit'],
  });
  if (status !== 0) process.exit(status ?? 1);
}
