import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { HttpRequest } from './client.ts';

export const CONNECTIONS = 32;

/** A placeholder in a request body. Each request replaces it with a different number. */
export const COUNTED = '@counted@';

/** The result of a load test. */
export interface Load {
  readonly requests: number;
  /** Requests per second. */
  readonly rate: number;
  /** Latencies in milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

/** Returns the version of wrk. If wrk is not installed, prints how to install it and exits. */
export function wrkVersion(): string {
  const { error, stdout } = spawnSync('wrk', ['-v'], { encoding: 'utf8' });
  if (!error) return /wrk (\S+)/.exec(stdout)?.[1] ?? 'unknown';
  console.error('This benchmark needs wrk: apt-get install wrk (Debian, Ubuntu) or brew install wrk (macOS).');
  process.exit(1);
}

/**
 * Sends one request repeatedly on 32 connections. `seconds` must be an integer. Throws if any response is not a
 * success.
 */
export async function load(url: string, request: HttpRequest, seconds: number): Promise<Load> {
  const directory = mkdtempSync(join(tmpdir(), 'kitestring-bench-'));
  try {
    const script = join(directory, 'load.lua');
    writeFileSync(script, luaOf(request));
    const words = ['-t', '1', '-c', String(CONNECTIONS), '-d', `${seconds}s`, '--latency', '--timeout', '30s'];
    const { stdout, stderr } = await promisify(execFile)('wrk', [...words, '-s', script, `${url}${request.path}`]);
    const [line] = /^{.*}$/m.exec(stdout) ?? [];
    if (line === undefined) throw new Error(`wrk printed no result: ${stdout}${stderr}`);
    const { errors, ...result } = JSON.parse(line) as Load & { errors: number };
    if (errors > 0 || result.requests === 0)
      throw new Error(`${request.method} ${request.path}: ${errors} of ${result.requests} requests failed`);
    return result;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function luaOf({ method, headers, body = '' }: HttpRequest): string {
  const counted = body.includes(COUNTED);
  return [
    `wrk.method = ${quote(method)}`,
    ...Object.entries(headers).map(([name, value]) => `wrk.headers[ ${quote(name)} ] = ${quote(value)}`),
    `wrk.body = ${body === '' ? 'nil' : quote(body)}`,
    // wrk builds a constant request only once; a request function costs time per request.
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

// Starts at the current time in microseconds, so that no two loads use the same number.
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
