// A thread that repeatedly sends GET /healthz to a server and samples the server's memory. It is a separate thread
// because the main thread is busy with the attack. Each request uses a new connection, as a new caller would.
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
let startedAt = performance.now();
let isWaiting = false;
let peakMB = 0;
let isOverMemory = false;

if (mostMB !== undefined) setInterval(() => sampleMemory(mostMB), SAMPLE_MS);

parentPort?.on('message', async (patienceMs: number) => {
  const end = performance.now() + patienceMs;
  while (isWaiting && performance.now() < end) await sleep(PAUSE_MS);
  if (isWaiting) waits.push(performance.now() - startedAt);
  const watched: Watched = {
    longestMs: Math.max(0, ...waits),
    medianMs: median(waits),
    isWaiting,
    peakMB,
    isOverMemory,
  };
  parentPort?.postMessage(watched);
  waits = [];
  startedAt = performance.now();
  peakMB = 0;
});

for (;;) {
  startedAt = performance.now();
  isWaiting = true;
  while (!(await isAnswered())) await sleep(PAUSE_MS);
  isWaiting = false;
  waits.push(performance.now() - startedAt);
  await sleep(PAUSE_MS);
}

function sampleMemory(mostMB: number): void {
  try {
    const megabytes = residentOf(pid);
    peakMB = Math.max(peakMB, megabytes);
    if (megabytes <= mostMB) return;
    isOverMemory = true;
    process.kill(pid, 'SIGKILL');
  } catch {
    // The server has exited. The main thread detects that itself.
  }
}

function isAnswered(): Promise<boolean> {
  return new Promise((resolve) => {
    get(`${url}/healthz`, { agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode === 200));
      response.once('error', () => resolve(false));
    }).once('error', () => resolve(false));
  });
}
