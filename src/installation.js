// What every program of Kitestring needs before it imports anything else: a new enough Node, the compile cache, and the
// database clients. They are generated here rather than by an install script, so that `npm ci` runs none.
import { spawnSync } from 'node:child_process';
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import './node-version.js';

// Before anything else is loaded: with it a start takes two thirds of the time. Not in /tmp, where others may write.
module.enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/kitestring', import.meta.url)));

const { areClientsCurrent } = await import('../prisma/clients.ts');
if (!areClientsCurrent()) {
  const generate = fileURLToPath(new URL('../prisma/generate.ts', import.meta.url));
  const { status } = spawnSync(process.execPath, [generate, '--unless-current'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) {
    console.error(
      'Kitestring cannot generate its database clients here: run npm ci && npm run prepare where the directory can be written.',
    );
    process.exit(1);
  }
}
