import { cpuOf, type ServerProcess } from './process.ts';

/** The result of one round with one server. */
export interface Sample {
  readonly requests: number;
  /** Requests per second. */
  readonly rate: number;
  /** Latencies in milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** CPU time of all requests in microseconds. */
  readonly cpu: number;
}

/** Medians over the rounds. A ratio compares a round of the product with the bare server's round just before it. */
export type Comparison = Readonly<Record<(typeof FIGURES)[number], number>>;

const FIGURES = ['rate', 'bareRate', 'ratio', 'p50', 'p99', 'bareP99', 'p99Ratio', 'cpu', 'bareCpu'] as const;

export interface Pair<T> {
  readonly bare: T;
  readonly product: T;
}

/** Measures the bare server and the product in alternating rounds, after one warm-up round of each. */
export async function alternate<T>(
  { bare, product }: Pair<ServerProcess>,
  run: (server: ServerProcess) => Promise<T>,
  rounds: number,
): Promise<Pair<T>[]> {
  await run(bare);
  await run(product);
  const pairs: Pair<T>[] = [];
  for (let round = 0; round < rounds; round++) pairs.push({ bare: await run(bare), product: await run(product) });
  return pairs;
}

export function compare(pairs: readonly Pair<Sample>[]): Comparison {
  const middle = (of: (pair: Pair<Sample>) => number) => median(pairs.map(of));
  // The kernel counts CPU time in ticks of 10 ms, too coarse for one round: the sum over all rounds is used.
  const sum = (of: (pair: Pair<Sample>) => number) => pairs.reduce((total, pair) => total + of(pair), 0);
  return {
    rate: middle(({ product }) => product.rate),
    bareRate: middle(({ bare }) => bare.rate),
    ratio: middle(({ bare, product }) => product.rate / bare.rate),
    p50: middle(({ product }) => product.p50),
    p99: middle(({ product }) => product.p99),
    bareP99: middle(({ bare }) => bare.p99),
    p99Ratio: middle(({ bare, product }) => product.p99 / bare.p99),
    cpu: sum(({ product }) => product.cpu) / sum(({ product }) => product.requests),
    bareCpu: sum(({ bare }) => bare.cpu) / sum(({ bare }) => bare.requests),
  };
}

/** Adds the CPU time that the server used during `run`, in microseconds. */
export async function withCpu<T>({ pid }: ServerProcess, run: () => Promise<T>): Promise<T & { cpu: number }> {
  const before = cpuOf(pid);
  const result = await run();
  return { ...result, cpu: cpuOf(pid) - before };
}

/** Summarises sequential requests from their durations in milliseconds. */
export function sequence(times: readonly number[]): Omit<Sample, 'cpu'> {
  const total = times.reduce((sum, time) => sum + time, 0);
  return {
    requests: times.length,
    rate: (times.length * 1000) / total,
    p50: median(times),
    p99: percentile(times, 0.99),
  };
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
