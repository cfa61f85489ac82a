// Every program of Kitestring imports this file first. It checks the Node version, enables the compile cache and
// generates the database clients. They are generated here rather than by an install script, so that `npm ci` runs no
// scripts.
import { spawnSync } from 'node:child_process';
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import './node-version.js';

// Enable the cache before loading other modules: it reduces the start time by a third. It is not in /tmp, where other
// users may write.
module.enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/kitestring', import.meta.url)));

const { areClientsCurrent } = await import('../prisma/clients.ts');
if (!areClientsCurrent()) {
  const generate = fileURLToPath(new URL('../prisma/generate.ts', import.meta.url));
  const { status } = spawnSync(process.execPath, [generate, '--unless-current'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) {
    console.error(
      'Kitestring cannot generate its database clients: make its directory writable, then run npm ci && npm run prepare.',
    );
    process.exit(1);
  }
}
