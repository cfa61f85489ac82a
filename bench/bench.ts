interface BenchOptions {
  readonly quick: boolean;
  /** The command-line arguments except the name of the benchmark. */
  readonly words: readonly string[];
}

/** The benchmarks by name. The first one is the default. */
const BENCHES: Readonly<Record<string, () => Promise<(options: BenchOptions) => Promise<void>>>> = {
  registry: async () => (await import('./registry.ts')).benchRegistry,
  fleet: async () => (await import('./fleet.ts')).benchFleet,
  scale: async () => (await import('./scale.ts')).benchScale,
  stalls: async () => (await import('./stalls.ts')).benchStalls,
};

const words = process.argv.slice(2);
if (words.includes('--help')) {
  console.log(
    `Usage: npm run bench -- [${Object.keys(BENCHES).join(' | ')}] [--quick]. CONTRIBUTING.md describes the benchmarks.`,
  );
  process.exit(0);
}
const name = words.find((word) => !word.startsWith('-')) ?? 'registry';
const load = BENCHES[name];
if (!load) {
  console.error(`Unknown benchmark ${name}: choose one of ${Object.keys(BENCHES).join(', ')}.`);
  process.exit(1);
}
const run = await load();
await run({ quick: words.includes('--quick'), words: words.filter((word) => word !== name) });
