import { defineConfig } from 'vitest/config';
import './src/installation.js';

export default defineConfig({
  // vitest would load graphql twice (its `development` condition for our files alone), and `instanceof` would fail.
  ssr: { resolve: { conditions: ['module', 'node'] } },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
