import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Outcome, sendAll } from './attack.ts';
import { call, callOrThrow } from './client.ts';
import { API_KEY } from './product.ts';
import { CLUSTERS, PAGE, rest } from './requests.ts';
import { document, requestScenario, type Scenario } from './scenario.ts';
import type { ServerUnderTest } from './server-under-test.ts';
import type { Keys } from './stall-seed.ts';
import { kubeconfigOf, startStandIns } from './stand-in-process.ts';

const STREAMS = 50;

/** Opens event streams of one caller, then changes one cluster as an admin. */
function changeWithStreams(role: keyof Keys): Scenario['prepare'] {
  return async ({ start }) => {
    const server = await start();
    const disconnect = new AbortController();
    const streams = await Promise.all(
      Array.from({ length: STREAMS }, () => openStream(server, server.keys[role], disconnect.signal)),
    );
    const attack = async (): Promise<Outcome> => {
      const start = performance.now();
      const { status } = await call(server.url, rest('PUT', `${CLUSTERS}2`, { description: 'changed under streams' }));
      const changedMs = performance.now() - start;
      const sizes = await Promise.all(streams.map((readEvent) => readEvent()));
      const note = `update after ${Math.round(changedMs)} ms, the last stream after ${Math.round(performance.now() - start)} ms`;
      return { answered: String(status), bytes: sizes.reduce((sum, size) => sum + size, 0), note };
    };
    return { server, attack, stop: async () => disconnect.abort() };
  };
}

/** Opens a stream of changes. Returns a function that waits for the next event and returns its size in bytes. */
async function openStream({ url }: ServerUnderTest, key: string, signal: AbortSignal): Promise<() => Promise<number>> {
  const { path, headers, body = '' } = document(key, 'subscription { clusterChanged { __typename } }');
  const response = await fetch(`${url}${path}`, {
    ...{ method: 'POST', body, signal },
    headers: { ...headers, Accept: 'text/event-stream' },
  });
  const reader = response.body?.getReader();
  return async () => {
    let [size, text] = [0, ''];
    while (!text.includes('clusterChanged')) {
      const { value, done } = (await reader?.read()) ?? { done: true };
      if (done) break;
      size += value?.length ?? 0;
      text += Buffer.from(value ?? []).toString();
    }
    return size;
  };
}

const FLEET = 3_000;
const DESCRIPTORS = 1_024;
/** Contexts per import. The CA of each context takes 1.5 kB of the maximum body size of 4 MiB. */
const CONTEXTS = 1_000;
/** The maximum milliseconds until every cluster has been probed once, even on a busy machine. */
const FLEET_MS = 150_000;
const POLL_MS = 500;
const IMPORT = 'mutation ($config: String!) { importClusters(input: { kubeconfig: $config }) { __typename } }';

/** Registers more healthy clusters than the server has file descriptors for. */
const outOfDescriptors: Scenario['prepare'] = async ({ start }) => {
  const { standIns, stop } = await startStandIns(FLEET, 0);
  const server = await start({ registry: 'empty', descriptors: DESCRIPTORS });
  const attack = async (_times: number, signal: AbortSignal): Promise<Outcome> => {
    const imports: string[] = [];
    for (let at = 0; at < FLEET; at += CONTEXTS) {
      const config = kubeconfigOf(standIns.answering.slice(at, at + CONTEXTS), { ca: standIns.ca, prefix: 'cluster' });
      const { answered } = await sendAll(server.url, [document(API_KEY, IMPORT, { config })], signal);
      imports.push(answered);
    }
    const end = performance.now() + FLEET_MS;
    while (/PENDING/.test(statesOf(server.dataDir)) && performance.now() < end && !signal.aborted) await sleep(POLL_MS);
    return { answered: imports.join(', '), bytes: 0, note: `${statesOf(server.dataDir)}; ${warningsOf(server.log())}` };
  };
  return { server, attack, stop };
};

/** Counts the clusters per state in the database file, because the server may not respond. */
function statesOf(dataDir: string): string {
  const database = new DatabaseSync(join(dataDir, 'kitestring.db'), { readOnly: true });
  const rows = database.prepare('SELECT "state", count(*) AS "count" FROM "Cluster" GROUP BY "state"').all();
  database.close();
  return rows.map(({ state, count }) => `${count} ${state}`).join(', ');
}

function warningsOf(log: string): string {
  const count = log.split('\n').filter((line) => /"level":"?(?:[456]0|warn|error|fatal)/.test(line)).length;
  return `${count} warnings or errors logged`;
}

const BEHIND_POOL = 25;

/** Row 5 on PostgreSQL, where waiting requests occupy the connection pool, while an admin reads a page. */
function exhaustPool(requestOf: (key: string, number: number) => ReturnType<typeof document>): Scenario['prepare'] {
  return async ({ start }) => {
    const server = await start({ registry: 'postgres' });
    const attack = async (_times: number, signal: AbortSignal): Promise<Outcome> => {
      const requests = Array.from({ length: BEHIND_POOL }, (_, number) => requestOf(server.keys.viewer, number));
      const attacked = sendAll(server.url, requests, signal);
      await sleep(200);
      const start = performance.now();
      const { answered } = await sendAll(server.url, [document(API_KEY, PAGE, { first: 10 })], signal);
      const note = `an admin's page of 10: ${answered} after ${Math.round(performance.now() - start)} ms`;
      return { ...(await attacked), note };
    };
    return { server, attack };
  };
}

/** Requests a page twice, so that it is in the cache before the attack requests it again. */
const cachedPage: Scenario['prepare'] = async (starter) => {
  const requestOf = ({ globs }: Keys) => document(globs, PAGE, { first: 100 });
  const prepared = await requestScenario(requestOf)(starter);
  for (let repeat = 0; repeat < 2; repeat++) await callOrThrow(prepared.server.url, requestOf(prepared.server.keys));
  return prepared;
};

/** Scenarios with many clusters, many streams or many requests during an admin's work. */
export const fleetScenarios = (selectorOf: Parameters<typeof exhaustPool>[0]): readonly Scenario[] => [
  {
    row: 5,
    what: `PostgreSQL: ${BEHIND_POOL} × 100 label requirements, and an admin`,
    prepare: exhaustPool(selectorOf),
  },
  { row: 10, what: `an update, ${STREAMS} streams of a role of one glob`, prepare: changeWithStreams('glob') },
  { row: 10, what: `an update, ${STREAMS} streams of a role of a selector`, prepare: changeWithStreams('selector') },
  { row: 10, what: 'a cached page, a role of 100 globs', many: true, prepare: cachedPage },
  {
    row: 12,
    what: `ulimit -n ${DESCRIPTORS}, ${FLEET} healthy clusters`,
    ownClusters: FLEET,
    deadlineMs: FLEET_MS + 30_000,
    prepare: outOfDescriptors,
  },
];
