import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';

/** A server in a child process, which is killed at the latest when this process exits. */
export interface ServerProcess {
  readonly url: string;
  readonly pid: number;
  /** Sends SIGTERM, or the given signal, and waits until the process has exited. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<void>;
}

const running = new Set<ChildProcess>();
// Without a handler, a signal would terminate this process without an `exit` event.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

interface SpawnOptions {
  readonly environment?: Record<string, string>;
  /** Where the output goes: `pipe` makes it readable, `ignore` discards it, a file descriptor also receives stderr. */
  readonly stdout: 'pipe' | 'ignore' | number;
  /** The limit of open file descriptors (`ulimit -n`). */
  readonly descriptors?: number | undefined;
}

/** Spawns Node with these command-line arguments. */
export function spawnNode(
  words: readonly string[],
  { environment = {}, stdout, descriptors }: SpawnOptions,
): { child: ChildProcess; pid: number; stop: ServerProcess['stop'] } {
  // Node raises its soft limit to the hard limit, so the shell lowers both.
  const limit = descriptors === undefined ? [] : ['sh', '-c', `ulimit -n ${descriptors}; exec "$0" "$@"`];
  const [program = '', ...rest] = [...limit, process.execPath, ...words];
  const child = spawn(program, rest, {
    env: { PATH: process.env.PATH ?? '', ...environment },
    stdio: ['ignore', stdout, typeof stdout === 'number' ? stdout : 'inherit'],
  });
  running.add(child);
  const ended = once(child, 'exit').then(() => running.delete(child));
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal);
    await ended;
  };
  return { child, pid: child.pid ?? 0, stop };
}

const TICK_US = 10_000;

/** The CPU time of all threads of a process so far, in microseconds. The resolution is 10 ms. */
export function cpuOf(pid: number): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ');
  const [user, system] = fields.split(' ').slice(11, 13);
  return (Number(user) + Number(system)) * TICK_US;
}

/** The resident memory of a process, in MB. */
export function residentOf(pid: number): number {
  return readStatus(pid, 'VmRSS');
}

/** The maximum of the resident memory of a process since `resetPeak`, in MB. */
export function peakOf(pid: number): number {
  return readStatus(pid, 'VmHWM');
}

function readStatus(pid: number, field: string): number {
  const [, kilobytes] =
    new RegExp(`${field}:\\s+([0-9]+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return (Number(kilobytes) * 1024) / 1e6;
}

/** Resets the kernel's peak of the resident memory of a process. Returns false if that is not allowed. */
export function resetPeak(pid: number): boolean {
  try {
    // See proc_pid_clear_refs(5).
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    return true;
  } catch {
    return false;
  }
}
