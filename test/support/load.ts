import { availableParallelism, loadavg } from 'node:os';

/** How many times slower than on a quiet machine programs run: the runnable processes per core in the last minute. */
const slowdown = () => Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());

/** Returns a time limit in milliseconds, which is given for a quiet machine, for the present load of this machine. */
export const atLoad = (ms: number): number => Math.ceil(ms * slowdown());
