import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { on } from 'node:events';
import { chown, glob, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';

const START_MS = 30_000;

/** A separate PostgreSQL server on loopback, with a superuser `postgres` who needs no password. */
export interface PostgresServer {
  /** The URL of its database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** The id of the parent of all its processes. */
  readonly pid: number;
  /** Starts the server again after it ended, on the same port; as a standby it is read-only. */
  readonly start: (as?: 'standby') => Promise<void>;
  /** Stops the server; `SIGINT` closes open connections, `SIGQUIT` is equivalent to a crash. */
  readonly end: (signal?: NodeJS.Signals) => Promise<void>;
  /** Stops the server and removes its files. */
  readonly remove: () => Promise<void>;
}

/** Returns the directory of PostgreSQL's programs; undefined if it is not installed. */
export async function postgresPrograms(): Promise<string | undefined> {
  const found: string[] = [];
  for await (const program of glob('/usr/lib/postgresql/*/bin/initdb')) found.push(program);
  const newest = found.sort((left, right) => left.localeCompare(right, 'en', { numeric: true })).at(-1);
  return newest && join(newest, '..');
}

/** Creates and starts a server; `settings` are lines of postgresql.conf, such as `max_connections=20`. */
export async function startPostgres(settings: readonly string[] = []): Promise<PostgresServer> {
  const programs = await postgresPrograms();
  if (programs === undefined) throw new Error('PostgreSQL is not installed here');
  const directory = await mkdtemp(join(tmpdir(), 'kitestring-postgres-'));
  const owner = await ownerOf(directory);
  const data = join(directory, 'data');
  const initArguments = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'];
  await promisify(execFile)(join(programs, 'initdb'), initArguments, owner);
  const port = await freePort();
  const url = `postgresql://postgres@127.0.0.1:${port}/postgres`;
  const options = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=', 'fsync=off', ...settings];
  let child: ChildProcess;
  const start = async (as?: 'standby') => {
    const signal = join(data, 'standby.signal');
    if (as) await writeFile(signal, '');
    else await rm(signal, { force: true });
    const words = ['-D', data, ...options.flatMap((option) => ['-c', option])];
    child = spawn(join(programs, 'postgres'), words, { ...owner, stdio: ['ignore', 'ignore', 'pipe'] });
    await untilItListens(child);
  };
  const end = async (signal: NodeJS.Signals = 'SIGINT') => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill(signal);
    await ended;
  };
  const remove = async () => {
    await end();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    ...{ url, port, start, end, remove },
    get pid() {
      return child.pid ?? 0;
    },
  };
}

/** PostgreSQL refuses to run as root. */
async function ownerOf(directory: string): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  const readId = (what: string) => Number(execFileSync('id', [what, 'postgres'], { encoding: 'utf8' }));
  const owner = { uid: readId('-u'), gid: readId('-g') };
  await chown(directory, owner.uid, owner.gid);
  return owner;
}

/** Waits until the server logs that it accepts connections; later output is discarded. */
async function untilItListens({ stderr }: ChildProcess): Promise<void> {
  if (!stderr) throw new Error('the stderr of PostgreSQL cannot be read');
  let output = '';
  for await (const [line] of on(createInterface({ input: stderr }), 'line', {
    close: ['close'],
    signal: AbortSignal.timeout(START_MS),
  })) {
    if (/ready to accept/.test(line)) return;
    output += `\n${line}`;
  }
  throw new Error(`PostgreSQL did not start:${output}`);
}
