// Sends generated requests to a real server and fails on any result that no request may cause: `npm run fuzz --
// --seconds 600 --seed 7`. `--case 42` sends only that case of the seed and prints all details; `--match anonymous`
// sends only cases that match.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startApiServers } from './api-servers.ts';
import { errorFaults, isHeavy, judge, judgeCost, type Measured, measure } from './judge.ts';
import { type FuzzCaller, RESTORE_DEFAULT, seedRegistry } from './registry.ts';
import { type FuzzRequest, generateRequest } from './requests.ts';
import { send } from './send.ts';
import { FuzzServer } from './server.ts';

/**
 * The number of changes after which the registry is reset to its seeded state, so that a case depends on few cases
 * before it.
 */
const CHANGES_PER_SERVER = 60;
/** A larger change, such as an import of thousands of contexts, is undone immediately. */
const LARGE_CHANGE = 100_000;
const CONFIRMATIONS = 2;
const SHOWN_STALLS = 10;

const USAGE = `Usage: npm run fuzz -- [--seconds 60] [--seed 1] [--match REGEXP] [--case N]
  --match  sends only the cases whose caller and subject match, such as 'anonymous, GraphQL'
  --case   sends one case again to a new server, and prints its answer`;

function readOptions() {
  try {
    return parseArgs({
      options: {
        seconds: { type: 'string', default: '60' },
        seed: { type: 'string', default: '1' },
        case: { type: 'string' },
        match: { type: 'string', default: '' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    process.exit(2);
  }
}

const values = readOptions();
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const [seed, seconds] = [Number(values.seed), Number(values.seconds)];
const match = new RegExp(values.match);
const only = values.case === undefined ? undefined : Number(values.case);
if (![seed, seconds, only ?? 0].every((number) => Number.isFinite(number) && number >= 0))
  throw new Error('--seconds, --seed and --case must be numbers that are not negative');

const root = mkdtempSync(join(tmpdir(), 'kitestring-fuzz-'));
// `process.exit` stops the server and removes its data directory; the default signal handling would leave both.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));
const seeded = join(root, 'seeded');
const apiServers = await startApiServers();
const callers = await seedRegistry(seeded, apiServers);
let server = await FuzzServer.start(seeded);
let changes = 0;

interface Case extends Measured {
  readonly number: number;
}
/** The first case of each fault, and how often the fault occurred. */
const found = new Map<string, { first: Case; fault: string; count: number }>();
const stalls: Case[] = [];
/** The case that ran last. */
let last: Case | undefined;

const end = performance.now() + seconds * 1_000;
let number = only ?? 0;
for (; only === undefined ? performance.now() < end : number === only; number++) await runCase(number);
const { now } = server.memory();
await Promise.all([stopServer(last), apiServers.stop()]);
report();
process.exit(found.size > 0 ? 1 : 0);

async function runCase(number: number): Promise<void> {
  const request = generateRequest(callers, seed, number);
  if (!match.test(`${request.caller.name}, ${request.about}`)) return;
  const measured = { number, ...(await measure(server, request)) };
  last = measured;
  const faults = await judge(server, measured);
  const cost = isHeavy(measured) && server.isRunning ? await confirmCost(number) : undefined;
  for (const fault of cost === undefined ? faults : [...faults, cost]) note(fault, measured);
  stalls.push(measured);
  stalls.sort((left, right) => right.stallMs - left.stallMs).splice(SHOWN_STALLS);
  if (only !== undefined) show(measured);
  await tidyUp(measured);
}

/** Returns the fault if it occurs again in each of a few further runs; a busy machine alone is not a fault. */
async function confirmCost(number: number): Promise<string | undefined> {
  let fault: string | undefined;
  for (let attempt = 1; attempt <= CONFIRMATIONS; attempt++) {
    fault = await judgeCost(server, generateRequest(callers, seed, number, attempt));
    if (fault === undefined) return undefined;
  }
  return fault;
}

function note(fault: string, measured: Case): void {
  const { request, number } = measured;
  const key = `${fault.replace(/:.*/, '')}, ${request.caller.name}, ${request.about}`;
  const known = found.get(key);
  if (known) known.count++;
  else {
    found.set(key, { first: measured, fault, count: 1 });
    console.log(`case ${number}: ${fault}\n    ${request.caller.name}, ${request.about}: ${save(measured)}`);
  }
}

/** Writes the request of a case to a file, without its API key. */
function save({ number, request }: Case): string {
  const file = join(tmpdir(), `kitestring-fuzz-${seed}-${number}.json`);
  const { caller, body, headers, ...rest } = request;
  const { Authorization: _key, ...shown } = headers;
  const text = typeof body === 'string' ? body : Buffer.from(body).toString('base64');
  writeFileSync(file, JSON.stringify({ seed, case: number, caller: caller.name, ...rest, headers: shown, body: text }));
  return file;
}

/** Stops the server. An error that it logs after a case was judged is a fault too. */
async function stopServer(after: Case | undefined): Promise<void> {
  await server.stop();
  if (after) for (const fault of errorFaults(server)) note(fault, after);
}

/** Undoes changes that could affect later cases, and restarts a server that has exited or hangs. */
async function tidyUp(measured: Case): Promise<void> {
  const { request, answer } = measured;
  if (request.isMutation) changes++;
  const isLarge = request.isMutation && request.body.length > LARGE_CHANGE && answer.status < 300;
  if (!server.isRunning || answer.isLate || isLarge || changes >= CHANGES_PER_SERVER) {
    await stopServer(measured);
    server = await FuzzServer.start(seeded);
    changes = 0;
  } else if (request.isMutation) await restoreDefault(callers.find(({ name }) => name === 'admin'));
}

async function restoreDefault(admin: FuzzCaller | undefined): Promise<void> {
  const headers = { 'Content-Type': 'application/json', ...admin?.headers };
  await send(server.url, {
    method: 'POST',
    path: '/graphql',
    headers,
    body: JSON.stringify({ query: RESTORE_DEFAULT }),
  });
}

function show({ request, answer, cpuMs, growth, stallMs }: Case): void {
  const { caller, method, path, about, body } = request;
  console.log(
    `${caller.name}: ${about}\n${method} ${path.slice(0, 2_000)}\n${preview(body)}\n→ ${answer.status}, ${answer.bytes} bytes`,
  );
  console.log(answer.text.slice(0, 2_000));
  console.log(`CPU ${cpuMs.toFixed(0)} ms, memory +${(growth / 1e6).toFixed(0)} MB, stall ${stallMs.toFixed(0)} ms`);
}

function preview(body: FuzzRequest['body']): string {
  return typeof body === 'string' ? body.slice(0, 5_000) : `${body.length} bytes`;
}

function report(): void {
  console.log(`\nlongest waits for /healthz, of ${number} cases with seed ${seed}:`);
  for (const { number, stallMs, cpuMs, request } of stalls)
    console.log(
      `${stallMs.toFixed(0).padStart(7)} ms  --case ${number}  ${request.caller.name}, ${request.about} (CPU ${cpuMs.toFixed(0)} ms)`,
    );
  console.log(`resident memory at the end: ${(now / 1e6).toFixed(0)} MB`);
  console.log(found.size === 0 ? '\nno faults' : `\n${found.size} faults:`);
  for (const [key, { first, fault, count }] of found)
    console.log(
      `${fault} (${count} times; ${key.replace(/^[^,]*, /, '')}): npm run fuzz -- --seed ${seed} --case ${first.number}`,
    );
}
