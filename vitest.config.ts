import { configDefaults, defineConfig } from 'vitest/config';
import { POSTGRES } from './test/support/database-location.ts';
import { LeftOutReporter } from './test/support/left-out.ts';
import { LongestFirst } from './test/support/longest-first.ts';
import './src/installation.js';

/** Tests of files that use no database: they are the same on PostgreSQL as on SQLite. */
const WITHOUT_DATABASE = [
  ...['address', 'connection', 'connections', 'installation', 'json-size', 'kubeconfig', 'kubeconfig-thread'],
  ...['live-api-servers', 'local-requests', 'patterns', 'probe', 'prober', 'response-cache', 'schema'],
].map((name) => `test/${name}.test.ts`);

/** Tests of PostgreSQL only. `postgres-copy` and `postgres-errors` also have tests that need no database. */
const ON_POSTGRES = 'test/postgres-!(copy|errors).test.ts';

const results = POSTGRES === undefined ? 'tests' : 'tests-postgres';

export default defineConfig({
  // By default vitest resolves our imports, but not those in packages, with the condition `development`. It would load
  // graphql twice, and `instanceof` checks would fail.
  ssr: { resolve: { conditions: ['module', 'node'] } },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(POSTGRES === undefined ? [ON_POSTGRES] : WITHOUT_DATABASE)],
    setupFiles: ['test/support/setup.ts'],
    // One more than the cores of a small machine: much of the time a test waits for another process.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', ['json', { outputFile: `node_modules/.cache/${results}.json` }], new LeftOutReporter()],
  },
});
