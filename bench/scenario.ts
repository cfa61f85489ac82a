import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Outcome, sendAll } from './attack.ts';
import { callOrThrow, type HttpRequest } from './client.ts';
import { spawnNode } from './process.ts';
import { CLUSTERS, rest } from './requests.ts';
import type { ServerOptions, ServerStarter, ServerUnderTest } from './server-under-test.ts';
import type { Keys } from './stall-seed.ts';
import { kubeconfigOf } from './stand-in-process.ts';

/** An attack that tries to stall the server or to fill its memory. */
export interface Scenario {
  /** The row in the table of the issue "One request cannot stall the server". */
  readonly row: number;
  readonly what: string;
  /** Whether 50 concurrent attacks by one caller are measured as well. */
  readonly many?: boolean;
  /** Set if the scenario creates a registry of this size itself. It is then measured only once. */
  readonly ownClusters?: number;
  /** Milliseconds after which the attack is stopped; default: the deadline of all scenarios. */
  readonly deadlineMs?: number;
  readonly prepare: (starter: ServerStarter) => Promise<Prepared>;
}

/** An idle server and the attack on it. */
export interface Prepared {
  readonly server: ServerUnderTest;
  /** Runs `times` concurrent attacks. Resolves when they are over or the signal is aborted. */
  readonly attack: (times: number, signal: AbortSignal) => Promise<Outcome>;
  /** Stops helper processes, such as stand-in clusters. */
  readonly stop?: () => Promise<unknown>;
}

type RequestOf = (keys: Keys, number: number) => HttpRequest;

/** A scenario that sends requests. `requestOf` receives a number, so that each request can differ. */
export function requestScenario(requestOf: RequestOf, options: ServerOptions = {}): Scenario['prepare'] {
  return async (starter) => attackBy(requestOf, await starter.start(options));
}

/** Like `requestScenario`, with clusters `hostile-0`, `hostile-1` and so on that lead to one hostile API server. */
export function hostileScenario(hostile: number, requestOf: RequestOf): Scenario['prepare'] {
  return async (starter) => {
    const { child, stop } = spawnNode([fileURLToPath(new URL('hostile-cluster.ts', import.meta.url))], {
      stdout: 'pipe',
    });
    if (!child.stdout) throw new Error('stdout is a pipe');
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const { port, ca } = JSON.parse(line) as { port: number; ca: string };
    const server = await starter.start();
    for (let number = 0; number < hostile; number++) {
      const config = kubeconfigOf([port], { ca, prefix: 'hostile' });
      const at = `https://127.0.0.1:${port}`;
      await callOrThrow(
        server.url,
        rest('POST', CLUSTERS, { name: `hostile-${number}`, config: config.replace(at, `${at}/c${number}`) }),
      );
    }
    return { ...attackBy(requestOf, server), stop };
  };
}

function attackBy(requestOf: RequestOf, server: ServerUnderTest): Prepared {
  return {
    server,
    attack: (times, signal) => {
      const requests = Array.from({ length: times }, (_, number) => requestOf(server.keys, number));
      return sendAll(server.url, requests, signal);
    },
  };
}

/** A GraphQL request with an API key, or of an anonymous caller. */
export function document(key: string | undefined, query: string, variables: object = {}): HttpRequest {
  return post('/graphql', key, JSON.stringify({ query, variables }));
}

/** A POST of JSON. */
export function post(path: string, key: string | undefined, body: string): HttpRequest {
  const authorization = key === undefined ? {} : { Authorization: key };
  return { method: 'POST', path, headers: { ...authorization, 'Content-Type': 'application/json' }, body };
}

/** Selects a field `times` times, each time under a different alias. */
export function aliases(times: number, field: (number: number) => string): string {
  return Array.from({ length: times }, (_, number) => `a${number}:${field(number)}`).join(' ');
}
