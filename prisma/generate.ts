// The Prisma client and Pothos' types. The CLI wants to download an engine that `generate` never runs:
// naming any executable in its place keeps the install offline.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const prisma = fileURLToPath(import.meta.resolve('prisma/build/index.js'));
const schema = fileURLToPath(new URL('./sqlite.prisma', import.meta.url));
const { status } = spawnSync(process.execPath, [prisma, 'generate', `--schema=${schema}`, '--no-hints'], {
  env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' },
  stdio: ['ignore', process.env.CI ? 'inherit' : 'ignore', 'inherit'],
});
process.exit(status ?? 1);
