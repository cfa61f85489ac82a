import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** A server as a process of its own, which ends with this one at the latest. */
export interface ServerProcess {
  readonly url: string;
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Spawns Node with these words; what it writes to stdout can be read, or goes to /dev/null. */
export function spawnNode(
  words: readonly string[],
  { environment = {}, stdout }: { environment?: Record<string, string>; stdout: 'pipe' | 'ignore' },
): { child: ChildProcess; pid: number; stop: () => Promise<void> } {
  const child = spawn(process.execPath, words, {
    env: { PATH: process.env.PATH ?? '', ...environment },
    stdio: ['ignore', stdout, 'inherit'],
  });
  running.add(child);
  const ended = once(child, 'exit').then(() => running.delete(child));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  return { child, pid: child.pid ?? 0, stop };
}

const TICK_US = 10_000;

/** The CPU time that a process has used so far, in all its threads, in microseconds; counted in ticks of 10 ms. */
export function cpuOf(pid: number): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ');
  const [user, system] = fields.split(' ').slice(11, 13);
  return (Number(user) + Number(system)) * TICK_US;
}

/** The resident memory of a process, in MB. */
export function residentOf(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+([0-9]+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return (Number(kilobytes) * 1024) / 1e6;
}
