// A thread that sends GET /healthz to a server over and over, each on a connection of its own, and samples the server's
// memory. A thread, because the bench itself is busy with the attack; new connections, because a new caller needs one.
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { Watched, WatchOptions } from './health-watch.ts';
import { residentOf } from './process.ts';
import { median } from './rounds.ts';

const PAUSE_MS = 5;
const SAMPLE_MS = 50;

const { url, pid, mostMB } = workerData as WatchOptions;
let waits: number[] = [];
let beganAt = performance.now();
let isWaiting = false;
let peakMB = 0;
let isOverMemory = false;

setInterval(() => {
  try {
    const megabytes = residentOf(pid);
    peakMB = Math.max(peakMB, megabytes);
    if (megabytes <= mostMB) return;
    isOverMemory = true;
    process.kill(pid, 'SIGKILL');
  } catch {
    // The server has ended; the bench finds that out by itself.
  }
}, SAMPLE_MS);

parentPort?.on('message', async (patienceMs: number) => {
  const end = performance.now() + patienceMs;
  while (isWaiting && performance.now() < end) await sleep(PAUSE_MS);
  if (isWaiting) waits.push(performance.now() - beganAt);
  const watched: Watched = {
    longestMs: Math.max(0, ...waits),
    medianMs: median(waits),
    isWaiting,
    peakMB,
    isOverMemory,
  };
  parentPort?.postMessage(watched);
  waits = [];
  peakMB = 0;
});

for (;;) {
  beganAt = performance.now();
  isWaiting = true;
  while (!(await isAnswered())) await sleep(PAUSE_MS);
  isWaiting = false;
  waits.push(performance.now() - beganAt);
  await sleep(PAUSE_MS);
}

function isAnswered(): Promise<boolean> {
  return new Promise((resolve) => {
    get(`${url}/healthz`, { agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode === 200));
      response.once('error', () => resolve(false));
    }).once('error', () => resolve(false));
  });
}
