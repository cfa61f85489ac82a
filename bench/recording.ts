import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Answer } from './client.ts';
import { type ServerProcess, spawnNode } from './process.ts';

const BARE = fileURLToPath(new URL('bare.ts', import.meta.url));
/** Node sends these by itself. */
const BY_NODE = new Set(['date', 'connection', 'keep-alive']);

/** Starts the bare server over these answers of the product. */
export async function startBare(answers: readonly Answer[]): Promise<ServerProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'kitestring-bench-'));
  const file = join(directory, 'answers.json');
  writeFileSync(file, JSON.stringify(answers.map(recorded)));
  const { child, pid, stop } = spawnNode([BARE, file], { stdout: 'pipe' });
  if (!child.stdout) throw new Error('stdout is a pipe');
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  rmSync(directory, { recursive: true });
  return { url: `http://127.0.0.1:${Number(port.toString())}`, pid, stop };
}

/** The answers of a file, ready to be sent. */
export function bareAnswers(text: string): { status: number; headers: string[]; body: Buffer }[] {
  const answers = JSON.parse(text) as ReturnType<typeof recorded>[];
  return answers.map(({ body, ...answer }) => ({ ...answer, body: Buffer.from(body, 'base64') }));
}

function recorded({ status, headers, body }: Answer): { status: number; headers: string[]; body: string } {
  const own = headers.filter((_text, at) => !BY_NODE.has(String(headers[at - (at % 2)]).toLowerCase()));
  return { status, headers: own, body: body.toString('base64') };
}
