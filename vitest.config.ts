import { defineConfig } from 'vitest/config';

export default defineConfig({
  // vitest would load graphql twice (its `development` condition for our files alone), and `instanceof` would fail.
  ssr: { resolve: { conditions: ['module', 'node'] } },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The tests start servers and databases of their own: the person's environment decides nothing.
    env: Object.fromEntries(
      ['HOST', 'PORT', 'DATA_DIR', 'SEAL_KEY', 'ADMIN_API_KEY', 'IMPORT_KUBECONFIG', 'LOG_LEVEL'].map((name) => [
        name,
        '',
      ]),
    ),
    maxWorkers: 2,
  },
});
