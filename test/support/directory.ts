import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from './running-test.ts';

/** The flags that the product is started with, plus access to the garbage collector for measurements. */
const FLAGS = ['--max-semi-space-size=4', '--expose-gc'];
const program = fileURLToPath(new URL('./storage-process.ts', import.meta.url));

/** Creates a directory that is removed when the test finishes. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'kitestring-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs `storage-process.ts` to its end and returns its output. */
export async function inAnotherProcess(what: 'open' | 'raise' | 'soak' | 'key', directory: string): Promise<string> {
  const child = spawn(process.execPath, [...FLAGS, program, what, directory], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [code, output, errors] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  if (code !== 0) throw new Error(`ended with ${code}: ${errors}`);
  return output.trim();
}
