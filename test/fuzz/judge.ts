import { canariesIn } from './registry.ts';
import type { FuzzRequest } from './requests.ts';
import { DEADLINE_MS, type FuzzAnswer, send } from './send.ts';
import type { FuzzServer } from './server.ts';

const MIB = 1024 * 1024;
/** What one answer may hold, of GraphQL and of REST but for its lists; an anonymous caller gets the schema at most (141 kB). */
const MAX_ANSWER = 16 * MIB;
const MAX_ANONYMOUS_ANSWER = MIB / 4;
/** What one caller may hold at a time. */
const MAX_HELD = 64 * MIB;
/** What all live reads may hold together. */
const MAX_LIVE = 256 * MIB;
/**
 * What is resident beyond that. The server collects garbage when the heap has grown by a fifth (`--heap-growing-percent=20`)
 * and its young half by 4 MiB; text of a body of 4 MiB is twice as large while it is parsed, and parsed JSON several times.
 */
const GARBAGE = 32 * MIB;

/** Bytes by which the memory of the server may grow for a request: live reads have a limit of their own. */
export function allowedGrowth({ path, body }: Pick<FuzzRequest, 'path' | 'body'>): number {
  const isLive = /\blive\b/.test(`${readable(path)} ${typeof body === 'string' ? body : ''}`);
  return MAX_HELD + GARBAGE + (isLive ? MAX_LIVE : 0);
}
/** CPU of the main thread that any request may take, charged or not: stalls of 100 ms, and room for a busy machine. */
const FREE_MS = 150;
const ANONYMOUS_FREE_MS = 75;
const freeMsOf = (name: string) => (name === 'anonymous' ? ANONYMOUS_FREE_MS : FREE_MS);
/**
 * What a millisecond of CPU beyond that must cost at least. A page of 100 clusters costs 4,000 and takes some 4 ms, so this
 * leaves room for a slow machine; the budget of a minute, 10,000,000, then buys 40 s at the most.
 */
const COST_PER_MS = 250;

/** One request, its answer, and what both took. */
export interface Measured {
  readonly request: FuzzRequest;
  readonly answer: FuzzAnswer;
  readonly cpuMs: number;
  /** Bytes by which resident memory was higher at its peak than before. */
  readonly growth: number;
  readonly stallMs: number;
}

/** Sends a request and measures the server meanwhile. */
export async function measure(server: FuzzServer, request: FuzzRequest): Promise<Measured> {
  const { now: before } = server.memory();
  const cpu = server.mainThreadMs();
  server.stalls.reset();
  const answer = await send(server.url, request);
  if (request.pipelined > 1 || request.isStream || answer.status === 0 || answer.bytes > MAX_ANSWER)
    await server.settle();
  const [cpuMs, stallMs] = [server.mainThreadMs() - cpu, server.stalls.longestMs];
  return { request, answer, cpuMs, stallMs, growth: server.memory().peak - before };
}

/** Everything about an answer that must not be, but for what its work costs: sentences that begin with their kind. */
export async function judge(server: FuzzServer, { request, answer, growth }: Measured): Promise<string[]> {
  const { caller, isUnlimited, path, body } = request;
  const { status, bytes, text, isLate } = answer;
  const most = caller.name === 'anonymous' ? MAX_ANONYMOUS_ANSWER : MAX_ANSWER;
  const faults: string[] = [];
  if (!server.isRunning) faults.push('crash: the server ended');
  if (isLate) faults.push(`no answer: none within ${DEADLINE_MS / 1000} s`);
  if (status >= 500 && status !== 503) faults.push(`status: ${status}`);
  if (text.includes('"code":"INTERNAL"')) faults.push('internal error: an error without a code of its own');
  if (bytes > most && !isUnlimited) faults.push(`answer: ${mib(bytes)}, of ${mib(most)} at most`);
  const mostGrowth = allowedGrowth(request);
  if (growth > mostGrowth) faults.push(`memory: ${mib(growth)} more, of ${mib(mostGrowth)} at most`);
  faults.push(...errorFaults(server));
  const canaries = canariesIn(text, `${readable(path)}${body}`, caller);
  if (canaries.length > 0) faults.push(`hidden: the answer tells ${canaries.slice(0, 3).join(', ')}`);
  const wider = server.isRunning ? await widerActions(server.url, request, text) : [];
  if (wider.length > 0) faults.push(`wider key: it may ${wider.join(', ')}, and its creator may not`);
  return faults;
}

/** A fault for each error in the log of the server since the last call: no request may cause one. */
export function errorFaults(server: Pick<FuzzServer, 'takeErrors'>): string[] {
  return server.takeErrors().map((line) => `error log: ${line.slice(0, 2_000)}`);
}

/** Whether a request took work that nothing but its cost can limit. */
export function isHeavy({ request, cpuMs, answer }: Measured): boolean {
  return cpuMs > freeMsOf(request.caller.name) && !request.isUnlimited && request.pipelined === 1 && !answer.isLate;
}

/** Sends a heavy request once more, in other words so that no cache knows it, and compares what it took and what it cost. */
export async function judgeCost(server: FuzzServer, again: FuzzRequest): Promise<string | undefined> {
  const before = await server.charged();
  const measured = await measure(server, again);
  const { cpuMs } = measured;
  if (!isHeavy(measured) || !server.isRunning) return undefined;
  const cost = (await server.charged()) - before;
  if (cost >= (cpuMs - freeMsOf(again.caller.name)) * COST_PER_MS) return undefined;
  return `cost: ${cpuMs.toFixed(0)} ms of CPU were charged ${cost}`;
}

/** Actions of an API key in the answer that the caller who created it does not have. */
async function widerActions(url: string, { caller }: FuzzRequest, text: string): Promise<string[]> {
  const [key] = /\bkite\d+-[\w-]{20,}/.exec(text) ?? [];
  if (!key) return [];
  const actionsOf = async (headers: Readonly<Record<string, string>>): Promise<string[]> => {
    const answer = await send(url, { method: 'GET', path: '/graphql?query={viewer{actions}}', headers });
    return /"actions":\[(.*?)\]/.exec(answer.text)?.[1]?.match(/\w+/g) ?? [];
  };
  const own = await actionsOf(caller.headers);
  return (await actionsOf({ Authorization: key })).filter((action) => !own.includes(action));
}

const readable = (path: string) => decodeURIComponent(path.replaceAll(/%(?![0-9a-f]{2})|%(?:[89a-f][0-9a-f])+/gi, ''));
const mib = (bytes: number) => `${(bytes / MIB).toFixed(2)} MiB`;
