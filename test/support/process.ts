import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { databaseOf } from './database-location.ts';
import { onTestFinished } from './running-test.ts';

const server = fileURLToPath(new URL('../../src/main.js', import.meta.url));
/** Enables the compile cache, as `npm run` does. A command then needs half the CPU time. */
const installation = new URL('../../src/installation.js', import.meta.url).href;
const commandLine = fileURLToPath(new URL('../../src/cli/kitestring.ts', import.meta.url));

export interface Start {
  readonly dataDir: string;
  /** No other variable of this process's environment is passed on, except PATH. */
  readonly environment?: Record<string, string>;
  /** JavaScript that runs before the product. */
  readonly before?: string;
  /** The process's limit of open files, by `ulimit -n`. */
  readonly openFiles?: number;
  /** The entire content of stdin. */
  readonly input?: string;
}

/** How a process ended, and its output. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The product as a separate process; it is killed at the latest when the test finishes. */
export interface Running {
  readonly url: string;
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** Returns everything written to stdout and stderr so far. */
  readonly output: () => string;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** Stops the process as an orchestrator does, and waits until it exits. */
  readonly stop: () => Promise<Ended>;
}

/** Starts the server on a free port and waits until it reports that it listens. */
export async function startProcess(start: Start): Promise<Running> {
  const { child, ended, output, listening } = launch(server, [], start);
  const url = await Promise.race([
    listening,
    ended.then(({ code, stderr }) => {
      throw new Error(`the server ended with ${code} before it listened: ${stderr}`);
    }),
  ]);
  const kill = (signal: NodeJS.Signals) => {
    child.kill(signal);
  };
  const stop = () => {
    kill('SIGTERM');
    return ended;
  };
  return { url, pid: child.pid ?? 0, ended, output, kill, stop };
}

/** Starts the server without waiting until it listens. */
export function launchProcess(start: Start): Pick<Running, 'ended' | 'kill'> {
  const { child, ended } = launch(server, [], start);
  return { ended, kill: (signal) => void child.kill(signal) };
}

/** Starts a server that must fail to start, and returns its exit code and output. */
export function failToStart(start: Start): Promise<Ended> {
  const { child, ended, listening } = launch(server, [], start);
  // If the server starts after all, kill it, so that the test fails instead of hanging.
  listening.then(() => child.kill('SIGKILL'));
  return ended;
}

/** Runs a command of the command line to its end. */
export function runCommand(words: readonly string[], start: Start): Promise<Ended> {
  return launch(commandLine, words, start).ended;
}

/** Starts a command without waiting for its end. */
export function launchCommand(words: readonly string[], start: Start): Pick<Running, 'ended' | 'kill'> {
  const { child, ended } = launch(commandLine, words, start);
  return { ended, kill: (signal) => void child.kill(signal) };
}

/** Returns the key that a first start without a terminal writes into its data directory. */
export async function firstKey(dataDir: string): Promise<string> {
  return (await readFile(join(dataDir, 'admin-api-key'), 'utf8')).trim();
}

function launch(
  program: string,
  words: readonly string[],
  { dataDir, environment = {}, before, openFiles, input }: Start,
) {
  const imports = before === undefined ? [] : ['--import', `data:text/javascript,${encodeURIComponent(before)}`];
  const whole = [process.execPath, ...imports, '--import', installation, program, ...words];
  const limited =
    openFiles === undefined ? whole : ['sh', '-c', 'ulimit -n "$0" && exec "$@"', `${openFiles}`, ...whole];
  const child = spawn(limited[0] ?? '', limited.slice(1), {
    env: {
      ...{ PATH: process.env.PATH ?? '', PORT: '0', METRICS_PORT: '0', DATA_DIR: dataDir },
      ...databaseOf(dataDir),
      ...environment,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {}).end(input);
  const written = { stdout: '', stderr: '' };
  const ended = whenEnded(child, written);
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended.catch(() => {});
  });
  const listening = Promise.withResolvers<string>();
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      written[name] += text;
      const url = /"url":"(http[^"]+)"/.exec(written.stdout)?.[1];
      if (url) listening.resolve(url);
    });
  return {
    child,
    ended,
    output: () => written.stdout + written.stderr,
    listening: listening.promise,
  };
}

function whenEnded(child: ChildProcess, written: { stdout: string; stderr: string }): Promise<Ended> {
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => resolve({ code, signal, ...written }));
  });
}
