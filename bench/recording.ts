import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HttpResponse } from './client.ts';
import { type ServerProcess, spawnNode } from './process.ts';

const BARE = fileURLToPath(new URL('bare.ts', import.meta.url));
/** Headers that Node adds to every response. */
const NODE_HEADERS = new Set(['date', 'connection', 'keep-alive']);

/** Starts the bare server, which sends these recorded responses of the product. */
export async function startBare(responses: readonly HttpResponse[]): Promise<ServerProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'kitestring-bench-'));
  const file = join(directory, 'responses.json');
  writeFileSync(file, JSON.stringify(responses.map(serialize)));
  const { child, pid, stop } = spawnNode([BARE, file], { stdout: 'pipe' });
  if (!child.stdout) throw new Error('stdout is a pipe');
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  rmSync(directory, { recursive: true });
  return { url: `http://127.0.0.1:${Number(port.toString())}`, pid, stop };
}

/** Parses the recorded responses of a file. */
export function readRecording(text: string): { status: number; headers: string[]; body: Buffer }[] {
  const responses = JSON.parse(text) as ReturnType<typeof serialize>[];
  return responses.map(({ body, ...response }) => ({ ...response, body: Buffer.from(body, 'base64') }));
}

function serialize({ status, headers, body }: HttpResponse): { status: number; headers: string[]; body: string } {
  const recorded = headers.filter((_text, at) => !NODE_HEADERS.has(String(headers[at - (at % 2)]).toLowerCase()));
  return { status, headers: recorded, body: body.toString('base64') };
}
