import { canariesIn } from './registry.ts';
import type { FuzzRequest } from './requests.ts';
import { DEADLINE_MS, type FuzzAnswer, send } from './send.ts';
import type { FuzzServer } from './server.ts';

const MIB = 1024 * 1024;
/**
 * The maximum size of one response, for GraphQL and for REST except its lists. An anonymous caller gets at most the
 * schema (141 kB).
 */
const MAX_ANSWER = 16 * MIB;
const MAX_ANONYMOUS_ANSWER = MIB / 4;
/** The memory that one caller may hold at a time. */
const MAX_HELD = 64 * MIB;
/** The memory that all live reads may hold together. */
const MAX_LIVE = 256 * MIB;
/**
 * Allowed resident memory beyond those budgets. The server collects garbage when the heap has grown by a fifth
 * (`--heap-growing-percent=20`) and its young generation by 4 MiB; text of a body of 4 MiB is twice as large while it
 * is parsed, and parsed JSON several times.
 */
const GARBAGE = 32 * MIB;

/** Returns by how many bytes the server's memory may grow for a request; live reads have their own limit. */
export function allowedGrowth({ path, body }: Pick<FuzzRequest, 'path' | 'body'>): number {
  const isLive = /\blive\b/.test(`${readable(path)} ${typeof body === 'string' ? body : ''}`);
  return MAX_HELD + GARBAGE + (isLive ? MAX_LIVE : 0);
}
/**
 * CPU time of the main thread that any request may take, charged or not: stalls of 100 ms, plus a margin for a busy
 * machine.
 */
const FREE_MS = 150;
const ANONYMOUS_FREE_MS = 75;
const freeMsOf = (name: string) => (name === 'anonymous' ? ANONYMOUS_FREE_MS : FREE_MS);
/**
 * The minimum cost of each millisecond of CPU beyond `FREE_MS`. A page of 100 clusters costs 4,000 and takes some 4 ms,
 * so this leaves a margin for a slow machine. The budget per minute, 10,000,000, then buys at most 40 s.
 */
const COST_PER_MS = 250;

/** One request, its response, and the CPU time and memory that both took. */
export interface Measured {
  readonly request: FuzzRequest;
  readonly answer: FuzzAnswer;
  readonly cpuMs: number;
  /** Bytes by which resident memory at its peak exceeded the value before the request. */
  readonly growth: number;
  readonly stallMs: number;
}

/** Sends a request and measures the server meanwhile. */
export async function measure(server: FuzzServer, request: FuzzRequest): Promise<Measured> {
  const { now: before } = server.memory();
  await server.takeStallMs();
  const cpu = server.mainThreadMs();
  const answer = await send(server.url, request);
  if (request.pipelined > 1 || request.isStream || answer.status === 0 || answer.bytes > MAX_ANSWER)
    await server.settle();
  const cpuMs = server.mainThreadMs() - cpu;
  const stallMs = await server.takeStallMs();
  return { request, answer, cpuMs, stallMs, growth: server.memory().peak - before };
}

/** Returns every fault of a response, except of its cost. Each fault is a sentence that starts with its kind. */
export async function judge(server: FuzzServer, { request, answer, growth }: Measured): Promise<string[]> {
  const { caller, isUnlimited, path, body } = request;
  const { status, bytes, text, isLate } = answer;
  const most = caller.name === 'anonymous' ? MAX_ANONYMOUS_ANSWER : MAX_ANSWER;
  const faults: string[] = [];
  if (!server.isRunning) faults.push('crash: the server exited');
  if (isLate) faults.push(`no answer: no response within ${DEADLINE_MS / 1000} s`);
  if (status >= 500 && status !== 503) faults.push(`status: ${status}`);
  if (text.includes('"code":"INTERNAL"')) faults.push('internal error: an error without a specific code');
  if (bytes > most && !isUnlimited) faults.push(`answer: ${mib(bytes)}, but at most ${mib(most)} is allowed`);
  const mostGrowth = allowedGrowth(request);
  if (growth > mostGrowth) faults.push(`memory: grew by ${mib(growth)}, but at most ${mib(mostGrowth)} is allowed`);
  faults.push(...errorFaults(server));
  const canaries = canariesIn(text, `${readable(path)}${body}`, caller);
  if (canaries.length > 0) faults.push(`hidden: the response reveals ${canaries.slice(0, 3).join(', ')}`);
  const wider = server.isRunning ? await widerActions(server.url, request, text) : [];
  if (wider.length > 0) faults.push(`wider key: it allows ${wider.join(', ')}, and its creator does not`);
  return faults;
}

/** Returns a fault for each error that the server logged since the last call: no request may cause one. */
export function errorFaults(server: Pick<FuzzServer, 'takeErrors'>): string[] {
  return server.takeErrors().map((line) => `error log: ${line.slice(0, 2_000)}`);
}

/** Whether a request took work that only its cost can limit. */
export function isHeavy({ request, cpuMs, answer }: Measured): boolean {
  return cpuMs > freeMsOf(request.caller.name) && !request.isUnlimited && request.pipelined === 1 && !answer.isLate;
}

/**
 * Sends a heavy request again, in a different form that no cache knows, and compares the CPU time it took with the cost
 * it was charged.
 */
export async function judgeCost(server: FuzzServer, again: FuzzRequest): Promise<string | undefined> {
  const before = await server.charged();
  const measured = await measure(server, again);
  const { cpuMs } = measured;
  if (!isHeavy(measured) || !server.isRunning) return undefined;
  const cost = (await server.charged()) - before;
  if (cost >= (cpuMs - freeMsOf(again.caller.name)) * COST_PER_MS) return undefined;
  return `cost: ${cpuMs.toFixed(0)} ms of CPU were charged ${cost}`;
}

/** Returns the actions of an API key in the response that the caller who created the key does not have. */
async function widerActions(url: string, { caller }: FuzzRequest, text: string): Promise<string[]> {
  const [key] = /\bkite\d+-[\w-]{20,}/.exec(text) ?? [];
  if (!key) return [];
  const actionsOf = async (headers: Readonly<Record<string, string>>): Promise<string[]> => {
    const answer = await send(url, { method: 'GET', path: '/graphql?query={viewer{actions}}', headers });
    return /"actions":\[(.*?)\]/.exec(answer.text)?.[1]?.match(/\w+/g) ?? [];
  };
  const callerActions = await actionsOf(caller.headers);
  return (await actionsOf({ Authorization: key })).filter((action) => !callerActions.includes(action));
}

const readable = (path: string) => decodeURIComponent(path.replaceAll(/%(?![0-9a-f]{2})|%(?:[89a-f][0-9a-f])+/gi, ''));
const mib = (bytes: number) => `${(bytes / MIB).toFixed(2)} MiB`;
