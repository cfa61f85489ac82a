import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { yieldNow } from '../../event-loop.ts';
import { type KubeconfigReading, readKubeconfig } from './kubeconfig.ts';
import type { KubeconfigPolicy } from './target.ts';
import type { KubeconfigJob } from './worker.ts';
import { measureYaml } from './yaml.ts';

/**
 * Largest kubeconfig, in characters and in lexical parts, that is parsed in the main
 * thread: the worst YAML of this size takes about 50 ms.
 */
const MAX_INLINE = 64 * 1024;
const MAX_INLINE_PARTS = 10_000;
/**
 * Maximum kubeconfigs that are queued or being parsed in the worker thread,
 * which parses one at a time: 64 MiB at 4 MiB each.
 */
const MAX_WAITING = 16;
/** Of these, the maximum per caller: one that is being parsed and one in the queue. */
const MAX_WAITING_PER_CALLER = 2;
/** Milliseconds allowed for parsing one kubeconfig: twenty times the time that 5,000 contexts take. */
const DEADLINE_MS = 20_000;
/** Milliseconds without work after which the worker thread, which uses about 30 MiB, is terminated. */
const IDLE_MS = 10_000;
/** Heap limit of the worker thread in MiB: twice the need of 4 MiB of YAML with 600,000 parts. */
const MAX_HEAP_MB = 1_024;

let worker: Worker | undefined;
let idleTimer: NodeJS.Timeout | undefined;
let previousRead: Promise<unknown> = Promise.resolve();
let waiting = 0;
const waitingByCaller = new Map<string, number>();

/** The queue of kubeconfigs to parse is full: for this caller if `isCallerLimit`, else for all callers. */
export class TooManyKubeconfigs extends Error {
  readonly isCallerLimit: boolean;

  constructor(message: string, isCallerLimit: boolean) {
    super(message);
    this.isCallerLimit = isCallerLimit;
  }
}

/** Whether a kubeconfig is large enough to be parsed in the worker thread. */
export function needsWorkerThread(text: string): boolean {
  return text.length > MAX_INLINE || measureYaml(text).parts > MAX_INLINE_PARTS;
}

/**
 * Parses a kubeconfig as `readKubeconfig` does. A kubeconfig of more than 64 KiB or 10,000 parts is parsed in a worker
 * thread, so that it does not block the event loop. Throws TooManyKubeconfigs if 16 kubeconfigs wait for that thread,
 * or 2 of this `caller` (any key that identifies the caller; omit it for Kitestring's own reads).
 */
export async function readKubeconfigOffThread(
  text: string,
  policy: KubeconfigPolicy,
  caller?: string,
): Promise<KubeconfigReading> {
  if (!needsWorkerThread(text)) return readKubeconfig(text, policy);
  const dequeue = enqueue(caller);
  const reading = previousRead.then(() => readInWorker({ text, policy })).finally(dequeue);
  previousRead = reading.catch(() => {});
  return reading;
}

/** Reserves a place in the queue; the returned function frees it. Throws TooManyKubeconfigs. */
function enqueue(caller: string | undefined): () => void {
  const ofCaller = caller === undefined ? 0 : (waitingByCaller.get(caller) ?? 0);
  if (ofCaller >= MAX_WAITING_PER_CALLER)
    throw new TooManyKubeconfigs(`${MAX_WAITING_PER_CALLER} of your large kubeconfigs are being read`, true);
  if (waiting >= MAX_WAITING)
    throw new TooManyKubeconfigs(`${MAX_WAITING} kubeconfigs are already waiting to be read`, false);
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

async function readInWorker(job: KubeconfigJob): Promise<KubeconfigReading> {
  clearTimeout(idleTimer);
  worker ??= startWorker();
  const current = worker;
  const timeout = AbortSignal.timeout(DEADLINE_MS);
  try {
    // The worker keeps the process alive only while it parses.
    current.ref();
    current.postMessage(job);
    const [reading] = await once(current, 'message', { signal: timeout });
    current.unref();
    idleTimer = setTimeout(() => void terminate(current), IDLE_MS).unref();
    // Deserializing the result of 5,000 contexts takes a whole event-loop iteration.
    await yieldNow();
    return reading as KubeconfigReading;
  } catch (error) {
    await terminate(current);
    const isOutOfMemory = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
    if (timeout.aborted)
      return { problem: `the kubeconfig takes longer than ${DEADLINE_MS / 1000} s to read: split it` };
    if (isOutOfMemory) return { problem: 'the kubeconfig takes too much memory to read: split it' };
    throw error;
  }
}

/** Starts the worker with an empty environment, because the process's environment contains secrets. */
function startWorker(): Worker {
  const started = new Worker(new URL('./worker.ts', import.meta.url), {
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  started.on('error', () => {});
  return started;
}

async function terminate(ended: Worker): Promise<void> {
  if (worker === ended) worker = undefined;
  await ended.terminate();
}
