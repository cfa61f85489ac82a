import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Ask } from './client.ts';

export const CONNECTIONS = 32;

/** Stands in a body for a number that differs in each request. */
export const COUNTED = '@counted@';

/** What a load came to: requests/s, and milliseconds. */
export interface Load {
  readonly requests: number;
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}

/** The version of wrk; without wrk the bench ends, and says how to get it. */
export function wrkVersion(): string {
  const { error, stdout } = spawnSync('wrk', ['-v'], { encoding: 'utf8' });
  if (!error) return /wrk (\S+)/.exec(stdout)?.[1] ?? 'unknown';
  console.error('The bench needs wrk: apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS).');
  process.exit(1);
}

/** Sends one request over and over, for whole seconds, on 32 connections; any answer that is no success fails. */
export async function load(url: string, ask: Ask, seconds: number): Promise<Load> {
  const directory = mkdtempSync(join(tmpdir(), 'kitestring-bench-'));
  try {
    const script = join(directory, 'load.lua');
    writeFileSync(script, luaOf(ask));
    const words = ['-t', '1', '-c', String(CONNECTIONS), '-d', `${seconds}s`, '--latency', '--timeout', '30s'];
    const { stdout, stderr } = await promisify(execFile)('wrk', [...words, '-s', script, `${url}${ask.path}`]);
    const [line] = /^{.*}$/m.exec(stdout) ?? [];
    if (line === undefined) throw new Error(`wrk did not tell what it found: ${stdout}${stderr}`);
    const { errors, ...result } = JSON.parse(line) as Load & { errors: number };
    if (errors > 0 || result.requests === 0)
      throw new Error(`${ask.method} ${ask.path}: ${errors} of ${result.requests} requests failed`);
    return result;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function luaOf({ method, headers, body = '' }: Ask): string {
  const counted = body.includes(COUNTED);
  return [
    `wrk.method = ${quote(method)}`,
    ...Object.entries(headers).map(([name, value]) => `wrk.headers[ ${quote(name)} ] = ${quote(value)}`),
    `wrk.body = ${body === '' ? 'nil' : quote(body)}`,
    // A request without this function is built once.
    ...(counted ? [countedLua()] : []),
    'done = function(summary, latency)',
    '  local e = summary.errors',
    `  io.write(string.format('\\n{"requests":%d,"rate":%.2f,"p50":%.3f,"p99":%.3f,"errors":%d}',`,
    '    summary.requests, summary.requests * 1e6 / summary.duration,',
    '    latency:percentile(50) / 1000, latency:percentile(99) / 1000,',
    '    e.connect + e.read + e.write + e.status + e.timeout))',
    'end',
  ].join('\n');
}

// Begins where no load before has been.
function countedLua(): string {
  return [
    `local count = ${Date.now() * 1000}`,
    'request = function()',
    '  count = count + 1',
    `  return wrk.format(nil, nil, nil, (wrk.body:gsub(${quote(COUNTED)}, string.format('%d', count))))`,
    'end',
  ].join('\n');
}

function quote(text: string): string {
  return `[==[${text}]==]`;
}
