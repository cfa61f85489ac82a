import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type KubeconfigPolicy, type KubeconfigReading, readKubeconfig } from './kubeconfig.ts';
import type { KubeconfigJob } from './kubeconfig-worker.ts';
import { measureYaml } from './kubeconfig-yaml.ts';
import { nextSlice } from './slices.ts';

/** Characters and parts of a kubeconfig that is read in the caller's thread: YAML at its worst takes some 50 ms for as many. */
const MAX_INLINE = 64 * 1024;
const MAX_INLINE_PARTS = 10_000;
/** Kubeconfigs that wait for the thread, which reads one at a time: at 4 MiB each they hold 64 MiB. */
const MAX_WAITING = 16;
/** Kubeconfigs of one caller among them: the one that is being read, and the next. */
const MAX_WAITING_PER_CALLER = 2;
/** Milliseconds in which one has to be read: twenty times what 5,000 contexts take. */
const DEADLINE_MS = 20_000;
/** Milliseconds without work after which the thread ends: it holds some 30 MiB. */
const IDLE_MS = 10_000;
/** Mebibytes of heap that the thread may use: what 4 MiB of YAML with 600,000 parts need, twice. */
const MAX_HEAP_MB = 1_024;

let worker: Worker | undefined;
let idle: NodeJS.Timeout | undefined;
let last: Promise<unknown> = Promise.resolve();
let waiting = 0;
const waitingByCaller = new Map<string, number>();

/** Too many kubeconfigs wait to be read: of one caller, or of all callers. */
export class TooManyKubeconfigs extends Error {
  readonly isOfCaller: boolean;

  constructor(message: string, isOfCaller: boolean) {
    super(message);
    this.isOfCaller = isOfCaller;
  }
}

/** Whether a kubeconfig is read in a thread of its own. */
export function isReadAside(text: string): boolean {
  return text.length > MAX_INLINE || measureYaml(text).parts > MAX_INLINE_PARTS;
}

/**
 * Reads a kubeconfig as `readKubeconfig` does; one of more than 64 KiB or 10,000 parts in a thread of its own, so that it
 * stalls nobody. Throws TooManyKubeconfigs when 16 wait for that thread, or 2 with the key of this `caller`; without one
 * Kitestring reads for itself.
 */
export async function readKubeconfigAside(
  text: string,
  policy: KubeconfigPolicy,
  caller?: string,
): Promise<KubeconfigReading> {
  if (!isReadAside(text)) return readKubeconfig(text, policy);
  const leave = enter(caller);
  const reading = last.then(() => read({ text, policy })).finally(leave);
  last = reading.catch(() => {});
  return reading;
}

/** Counts a kubeconfig that waits; returns what ends that. */
function enter(caller: string | undefined): () => void {
  const ofCaller = caller === undefined ? 0 : (waitingByCaller.get(caller) ?? 0);
  if (ofCaller >= MAX_WAITING_PER_CALLER)
    throw new TooManyKubeconfigs(`${MAX_WAITING_PER_CALLER} of your large kubeconfigs are being read`, true);
  if (waiting >= MAX_WAITING) throw new TooManyKubeconfigs(`${MAX_WAITING} kubeconfigs wait to be read already`, false);
  waiting += 1;
  if (caller !== undefined) waitingByCaller.set(caller, ofCaller + 1);
  return () => {
    waiting -= 1;
    if (caller === undefined) return;
    const left = (waitingByCaller.get(caller) ?? 1) - 1;
    if (left > 0) waitingByCaller.set(caller, left);
    else waitingByCaller.delete(caller);
  };
}

async function read(job: KubeconfigJob): Promise<KubeconfigReading> {
  clearTimeout(idle);
  worker ??= start();
  const current = worker;
  const late = AbortSignal.timeout(DEADLINE_MS);
  try {
    // Only a thread that reads keeps the process from ending.
    current.ref();
    current.postMessage(job);
    const [reading] = await once(current, 'message', { signal: late });
    current.unref();
    idle = setTimeout(() => void end(current), IDLE_MS).unref();
    // Taking over the reading of 5,000 contexts fills a turn of its own.
    await nextSlice();
    return reading as KubeconfigReading;
  } catch (error) {
    await end(current);
    const isOutOfMemory = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
    if (late.aborted) return { problem: `the kubeconfig takes longer than ${DEADLINE_MS / 1000} s to read: split it` };
    if (isOutOfMemory) return { problem: 'the kubeconfig takes too much memory to read: split it' };
    throw error;
  }
}

/** Starts the thread without the environment, which holds secrets. */
function start(): Worker {
  const started = new Worker(new URL('./kubeconfig-worker.ts', import.meta.url), {
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  started.on('error', () => {});
  return started;
}

async function end(ended: Worker): Promise<void> {
  if (worker === ended) worker = undefined;
  await ended.terminate();
}
