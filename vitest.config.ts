import { defineConfig } from 'vitest/config';
import './src/installation.js';

export default defineConfig({
  // By default vitest resolves our imports, but not those in packages, with the condition `development`. It would load
  // graphql twice, and `instanceof` checks would fail.
  ssr: { resolve: { conditions: ['module', 'node'] } },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
