import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** A server as a process of its own, which ends with this one at the latest. */
export interface ServerProcess {
  readonly url: string;
  readonly pid: number;
  /** Ends it by SIGTERM, or by the signal that is given, and waits for its end. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<void>;
}

const running = new Set<ChildProcess>();
// A signal alone would end this process without its `exit` event.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** How Node is spawned: its environment, where its output goes, and the limit of `ulimit -n` where it has one. */
interface SpawnOptions {
  readonly environment?: Record<string, string>;
  /** `pipe` can be read, `ignore` goes to /dev/null; a file descriptor takes stderr as well. */
  readonly stdout: 'pipe' | 'ignore' | number;
  readonly descriptors?: number | undefined;
}

/** Spawns Node with these words. */
export function spawnNode(
  words: readonly string[],
  { environment = {}, stdout, descriptors }: SpawnOptions,
): { child: ChildProcess; pid: number; stop: ServerProcess['stop'] } {
  // Node raises its soft limit to the hard one, so the shell lowers both.
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
